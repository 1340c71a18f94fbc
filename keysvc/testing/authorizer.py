"""What every authorizer promises."""

from __future__ import annotations

from collections import abc
from concurrent.futures import ThreadPoolExecutor

import pytest

from keysvc.errors import AuthorizerUnavailable
from keysvc.plugin.interfaces import Authorizer
from keysvc.testing.conformance import Conformance

OpenAuthorizer = abc.Callable[[], Authorizer]
Members = abc.Mapping[str, abc.Collection[str]]

HOSTILE = [
    "",
    " ",
    "*",
    "nobody*",
    "*)(objectClass=*",
    "nobody)(|(uid=*",
    "nobody' OR '1'='1",
    "nobody\\2a",
    "cn=nobody,dc=example",
    "../nobody",
    "no\x00body",
    "no\r\nbody",
    "nobody\u2028",
    "n" * 10_000,
    "🔑",
]
"""Names that nobody has, and that mean something to somebody who does not quote them."""


class AuthorizerConformance(Conformance):
    """Override `open_authorizer`; `members`: names, of more than one letter, with every group that each is in, one of
    them through another group where the authorizer knows such; and `open_blind`: a callable that opens an authorizer
    which cannot reach what it asks."""

    @pytest.fixture
    def open_authorizer(self) -> OpenAuthorizer:
        raise NotImplementedError("override the fixture open_authorizer: return a callable that opens the authorizer")

    @pytest.fixture
    def members(self) -> Members:
        raise NotImplementedError("override the fixture members: return names with the groups that each is in")

    @pytest.fixture
    def open_blind(self) -> OpenAuthorizer:
        raise NotImplementedError("override the fixture open_blind: return a callable that opens one that is cut off")

    def test_every_group_of_a_member_is_named_and_no_other(
        self, open_authorizer: OpenAuthorizer, members: Members
    ) -> None:
        authorizer = open_authorizer()
        assert members
        for name, groups in members.items():
            assert sorted(authorizer.groups_of(name)) == sorted(groups)

    def test_upper_and_lower_case_are_the_same(self, open_authorizer: OpenAuthorizer, members: Members) -> None:
        authorizer = open_authorizer()
        for name, groups in members.items():
            assert sorted(authorizer.groups_of(name.swapcase())) == sorted(groups)

    def test_somebody_unknown_is_in_no_group(self, open_authorizer: OpenAuthorizer, members: Members) -> None:
        authorizer = open_authorizer()
        assert not list(authorizer.groups_of("nobody-of-this-name"))
        for name in members:
            assert not list(authorizer.groups_of(name[:-1] + "*"))

    @pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name[:20]))
    def test_a_name_is_never_more_than_a_name(self, open_authorizer: OpenAuthorizer, name: str) -> None:
        assert not list(open_authorizer().groups_of(name))

    def test_one_that_cannot_know_says_so_and_names_no_group(
        self, open_blind: OpenAuthorizer, members: Members
    ) -> None:
        authorizer = open_blind()
        for name in members:
            with pytest.raises(AuthorizerUnavailable):
                authorizer.groups_of(name)

    def test_threads_get_the_same_answers(self, open_authorizer: OpenAuthorizer, members: Members) -> None:
        authorizer = open_authorizer()
        asked = [name for name in members for _ in range(20)]
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(authorizer.groups_of, asked))
        assert [sorted(answer) for answer in answers] == [sorted(members[name]) for name in asked]

    def test_closing_is_repeatable(self, open_authorizer: OpenAuthorizer) -> None:
        authorizer = open_authorizer()
        authorizer.close()
        authorizer.close()
