"""docs/reference/errors.md is as complete as the classes."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import pytest

from keysvc import errors

PAGE = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text("utf-8")


def classes(root: type[errors.KeysvcError] = errors.KeysvcError) -> abc.Iterator[type[errors.KeysvcError]]:
    if root.__module__ == "keysvc.errors":
        yield root
    for kind in root.__subclasses__():
        yield from classes(kind)


@pytest.mark.parametrize("kind", list(classes()), ids=lambda kind: kind.__name__)
def test_every_error_is_documented_with_its_code_hint_and_retryability(kind: type[errors.KeysvcError]) -> None:
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{kind.code}` | `{kind.__name__}` |"))
    assert f"| {'yes' if kind.retryable else 'no'} |" in line
    assert line.endswith(f"| {kind.default_hint} |")


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    drawn = {line.strip(" │├└─").split()[0] for line in (errors.__doc__ or "").splitlines() if "─" in line}
    assert drawn == {kind.__name__ for kind in classes()} - {"KeysvcError"}


def test_codes_are_unique_and_every_hint_says_something() -> None:
    found = list(classes())
    assert len({kind.code for kind in found}) == len(found)
    assert all(kind("what").hint for kind in found)
