"""A figure says what its rounds say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def measuring():
    """The checkout's: benchmarks are not installed."""
    spec = importlib.util.spec_from_file_location("measuring", ROOT / "benchmarks/measuring.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def race(measuring, **rounds):
    calls = []

    def contender(name):
        def one():
            calls.append(name)
            return rounds[name][sum(call == name for call in calls) - 1]

        return one

    made = measuring.Race("work", "rows/s", {name: contender(name) for name in rounds}, rounds=3).run()
    return made, calls


def test_contenders_take_turns_and_nobody_always_goes_first(measuring):
    _, calls = race(measuring, keysvc=[1.0] * 3, floor=[1.0] * 3)
    assert calls == ["keysvc", "floor", "floor", "keysvc", "keysvc", "floor"]


def test_a_round_in_which_the_machine_was_slow_for_all_does_not_change_the_figure(measuring):
    made, _ = race(measuring, keysvc=[90.0, 9.0, 90.0], floor=[100.0, 10.0, 100.0])
    figure = made.against("floor", 0.8)
    assert figure.value == pytest.approx(0.9)
    assert figure.best == pytest.approx(0.9)
    assert figure.passed


def test_a_goal_that_is_missed_is_short_in_either_direction(measuring):
    made, _ = race(measuring, keysvc=[50.0] * 3, floor=[100.0] * 3)
    assert made.against("floor", 0.8).passed is False
    assert measuring.Figure("memory", 71, "MiB", goal=70, at_most=True).passed is False
    assert measuring.Figure("memory", 70, "MiB", goal=70, at_most=True).passed is True
    assert measuring.Figure("a machine of one's own", 1, "").passed is None


def test_the_spread_is_half_of_what_lies_between_the_rounds(measuring):
    assert measuring.Rates("keysvc", (90.0, 100.0, 110.0)).spread == pytest.approx(0.1)
