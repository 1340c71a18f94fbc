"""The model of the protocol holds, and breaks without any of its guards. `make model` checks larger configurations."""

from __future__ import annotations

import os
from pathlib import Path

import model_checking
import pytest
from model_checking import MODEL, MUTANTS, SMALL, Mutant, Verifier


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Verifier:
    if lacking := model_checking.missing():
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say(f"{lacking} is not here: apt-get install spin gcc")
    folder: Path = tmp_path_factory.mktemp("model")
    return Verifier(folder)


def test_every_invariant_holds_in_every_state_of_a_small_system(verifier: Verifier) -> None:
    found = verifier.check(SMALL)
    assert found.complete, found.output


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.without)
def test_a_guard_that_is_taken_out_gives_a_counterexample(verifier: Verifier, mutant: Mutant) -> None:
    found = verifier.check(mutant.size, mutant.without)
    assert found.broken in mutant.breaks, found.output


def test_every_guard_of_the_model_has_a_mutant() -> None:
    guards = {
        line.split()[1].removeprefix("WITHOUT_")
        for line in MODEL.read_text("utf-8").splitlines()
        if "(without ==" in line
    }
    assert guards == {mutant.without for mutant in MUTANTS}
