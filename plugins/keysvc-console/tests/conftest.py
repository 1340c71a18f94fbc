"""Fixtures of the console's tests."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import pytest
from consoles import Estate, standing
from plain_browser import PlainBrowser


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[Estate]:
    """With an application SAP, two users, and a credential of each."""
    with standing(tmp_path_factory.mktemp("estate")) as made:
        made.with_sap()
        yield made


@pytest.fixture(scope="session")
def commands() -> abc.Callable[[str], str]:
    """What is wrong with a command that is shown, as the tests of the documentation find it."""
    import html
    import importlib.util
    import shlex

    path = Path(__file__).parents[3] / "tests/docs/test_commands_in_docs.py"
    spec = importlib.util.spec_from_file_location("commands_in_docs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def problem(line: str) -> str:
        first = html.unescape(line).partition(", keysvc ")[0].partition(" > ")[0]
        return str(module.problem(shlex.split(first)))

    return problem


@pytest.fixture
def boss(estate: Estate) -> PlainBrowser:
    """The browser of an SSO administrator."""
    return estate.console().browser()
