"""What `make` sets for a test reaches it through tox, which passes on only what it is told to."""

from __future__ import annotations

import configparser
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTING = re.compile(r"^\t@(KEYSVC_\w+)=\S+ \$\(TOX\) run -e ([\w-]+)", re.MULTILINE)
SET = SETTING.findall((ROOT / "Makefile").read_text("utf-8"))


def passed_on(environment: str) -> list[str]:
    tox = configparser.RawConfigParser()
    tox.read(ROOT / "tox.ini", "utf-8")
    own, common = f"testenv:{environment}", "testenv"
    return tox.get(own if tox.has_option(own, "pass_env") else common, "pass_env").split()


@pytest.mark.parametrize(("variable", "environment"), SET)
def test_a_variable_that_make_sets_reaches_the_tests(variable: str, environment: str) -> None:
    assert any(fnmatchcase(variable, pattern) for pattern in passed_on(environment))


def test_make_deaths_sets_one() -> None:
    assert ("KEYSVC_ALL_DEATHS", "faults") in SET
