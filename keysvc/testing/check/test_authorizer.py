"""What can be checked of an authorizer from here. Who is in which group, only the directory knows."""

from __future__ import annotations

from collections import abc

import pytest

from keysvc.plugin.interfaces import Authorizer
from keysvc.testing.authorizer import HOSTILE

Open = abc.Callable[[], Authorizer]


class TestAuthorizer:
    def test_it_can_be_asked(self, open_part: Open) -> None:
        open_part().groups_of("keysvc-plugin-check")

    @pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name[:20]))
    def test_a_name_is_never_more_than_a_name(self, open_part: Open, name: str) -> None:
        assert not list(open_part().groups_of(name))

    def test_closing_is_repeatable(self, open_part: Open) -> None:
        authorizer = open_part()
        authorizer.close()
        authorizer.close()
