"""Death strikes in the code that was named, and in no other."""

from __future__ import annotations

import os
import sys

import pytest

from keysvc.testing.deaths import Code, places

pytestmark = pytest.mark.skipif(os.name == "nt", reason="fork is POSIX's")


def outer() -> None:
    inner()


def inner() -> None:
    pass


@pytest.mark.parametrize(
    ("where", "passed"), [(outer, {"outer"}), (inner, {"inner"}), (sys.modules[__name__], {"outer", "inner"})]
)
def test_a_module_is_passed_in_all_its_functions_and_a_function_in_itself(where: Code, passed: set[str]) -> None:
    assert {place.function for place in places(outer, [where])} == passed
