"""The checker finds what it is there to find, and nothing else, in histories written by hand."""

from __future__ import annotations

from math import inf

import pytest
from chaos import registers
from chaos.history import Operation


def write(value: str, begin: float, end: float, error: str = "") -> Operation:
    return Operation("a", "write", "k", value, begin, end, error=error)


def look(value: str | None, begin: float, end: float) -> Operation:
    return Operation("b", "fresh", "k", value, begin, end)


@pytest.mark.parametrize(
    "history",
    [
        [look(None, 0, 1), write("x", 1, 2), look("x", 3, 4)],
        [write("x", 0, 10), look(None, 1, 2), look("x", 3, 4)],
        [write("x", 0, 10), write("y", 1, 9), look("y", 2, 3), look("x", 4, 5)],
        [write("x", 0, 1), write("y", 2, inf), look("x", 5, 6), look("y", 7, 8)],
        [write("x", 0, 1), write("y", 2, 3, "mapping-store-unavailable"), look("x", 5, 6), look("y", 7, 8)],
        [write("x", 0, 1), write("y", 2, 3, "mapping-store-unavailable"), look("x", 5, 6)],
        [write("x", 0, 1), write("y", 2, 3, "conflict"), look("x", 5, 6)],
    ],
)
def test_what_could_have_happened_one_after_the_other_is_left_alone(history: list[Operation]) -> None:
    assert registers.violations(history) == []


@pytest.mark.parametrize(
    ("history", "why"),
    [
        ([write("x", 0, 1), look(None, 2, 3)], "was there"),  # lost
        ([write("x", 0, 1), write("y", 2, 3), look("x", 4, 5)], "was there"),  # stale
        ([write("x", 0, 1), write("y", 2, 9), look("y", 3, 4), look("x", 5, 6)], "was there"),  # back again
        ([write("x", 0, 1), write("y", 2, inf), look("y", 3, 4), look("x", 5, 6)], "was there"),
        ([write("x", 0, 1), look("z", 2, 3)], "foreign"),
        ([write("x", 0, 1), write("y", 2, 3, "conflict"), look("y", 4, 5)], "refused"),
        ([look("x", 0, 1), write("x", 2, 3)], "before it was written"),
    ],
)
def test_what_could_not_is_found(history: list[Operation], why: str) -> None:
    (found,) = registers.violations(history)
    assert why in found


def test_a_value_between_two_others_is_found_wherever_it_stands() -> None:
    history = [write("x", 0, 1), look("x", 10, 11), write("y", 4, 5), look("y", 12, 13)]
    assert len(registers.violations(history)) == 1
