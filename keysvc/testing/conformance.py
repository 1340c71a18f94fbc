"""What every suite shares: it defends itself, and it looks for secrets where none may be."""

from __future__ import annotations

import base64
from collections import abc

import pytest


class Conformance:
    """Base of the suites. A subclass that deletes, empties or replaces one of the suite's tests fails, unless it marks
    it `pytest.mark.xfail(reason=…)` and so says why."""

    def test_the_suite_runs_whole(self) -> None:
        ours = {
            name: member
            for kind in reversed(type(self).__mro__)
            if kind.__module__.startswith("keysvc.testing.")
            for name, member in vars(kind).items()
            if name.startswith("test_")
        }
        for name, member in ours.items():
            found = getattr(type(self), name, None)
            if getattr(found, "__wrapped__", found) is not member and not _excused(found):
                pytest.fail(f"{name} was replaced without pytest.mark.xfail(reason=…): the suite must run whole")


def _excused(test: object) -> bool:
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in getattr(test, "pytestmark", ()))


def assert_no_leak(secret: bytes, *texts: object) -> None:
    """Fail when a text shows `secret`, raw, in hex, in base64, or as Python writes bytes."""
    forms = {
        secret.hex(),
        secret.hex().upper(),
        base64.b64encode(secret).decode(),
        base64.urlsafe_b64encode(secret).decode(),
        repr(secret)[2:-1],
    }
    for text in texts:
        shown = f"{text}{text!r}"
        assert not [form for form in forms if form in shown], "a secret is shown"


def told(error: BaseException | None) -> abc.Iterator[str]:
    """All that an exception and its causes would print."""
    while error is not None:
        yield f"{error!r} {error} {error.args} {getattr(error, 'hint', '')}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
