"""Authorizers that are wrong on purpose: each must fail the test of its sin, and the right one none."""

from __future__ import annotations

import fnmatch
import inspect

import pytest

from keysvc.errors import AuthorizerUnavailable
from keysvc.testing.authorizer import HOSTILE, AuthorizerConformance

MEMBERS = {"anna": {"SAP users"}, "bert": {"accounting", "SAP users"}}


class Right:
    def __init__(self, *, blind: bool = False) -> None:
        self.blind = blind

    def groups_of(self, name):
        if self.blind:
            raise AuthorizerUnavailable("it is away")
        return self.found(name.casefold())

    def found(self, name):
        return MEMBERS.get(name, set())

    def close(self):
        pass


class KnowsDirectGroupsOnly(Right):
    def found(self, name):
        return super().found(name) - ({"SAP users"} if name == "bert" else set())


class RegardsCase(Right):
    def groups_of(self, name):
        return super().groups_of(name) if name.islower() else set()


class TakesAPatternForAName(Right):
    def found(self, name):
        return set().union(*(groups for member, groups in MEMBERS.items() if fnmatch.fnmatchcase(member, name)))


class SaysNobodyWhenItCannotKnow(Right):
    def groups_of(self, name):
        return set() if self.blind else super().groups_of(name)


class RaisesWhatItLikesWhenItCannotKnow(Right):
    def groups_of(self, name):
        if self.blind:
            raise ConnectionError("it is away")
        return super().groups_of(name)


class LetsEverybodyIn(Right):
    def found(self, name):
        return super().found(name) or {"everybody"}


class ClosesOnce(Right):
    closed = False

    def close(self):
        assert not self.closed
        self.closed = True


SINS = {
    KnowsDirectGroupsOnly: "test_every_group_of_a_member_is_named_and_no_other",
    RegardsCase: "test_upper_and_lower_case_are_the_same",
    TakesAPatternForAName: "test_somebody_unknown_is_in_no_group",
    SaysNobodyWhenItCannotKnow: "test_one_that_cannot_know_says_so_and_names_no_group",
    RaisesWhatItLikesWhenItCannotKnow: "test_one_that_cannot_know_says_so_and_names_no_group",
    LetsEverybodyIn: "test_a_name_is_never_more_than_a_name",
    ClosesOnce: "test_closing_is_repeatable",
}


def failed(authorizer: type[Right]) -> set[str]:
    """The names of the suite's tests that it fails."""
    given = {
        "open_authorizer": authorizer,
        "open_blind": lambda: authorizer(blind=True),
        "members": MEMBERS,
    }
    names = [name for name in vars(AuthorizerConformance) if name.startswith("test_")]
    return {name for name in names for hostile in HOSTILE if not passes(name, {**given, "name": hostile})}


def passes(name: str, given: dict[str, object]) -> bool:
    test = getattr(AuthorizerConformance(), name)
    try:
        test(**{wanted: given[wanted] for wanted in inspect.signature(test).parameters})
    except (Exception, pytest.fail.Exception):
        return False
    return True


def test_the_right_one_fails_none() -> None:
    assert failed(Right) == set()


@pytest.mark.parametrize("mutant", SINS, ids=lambda mutant: mutant.__name__)
def test_each_sin_is_found_by_the_test_of_its_name(mutant: type[Right]) -> None:
    assert SINS[mutant] in failed(mutant)
