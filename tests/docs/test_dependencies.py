"""docs/dependencies.md owes a reason for every package that we depend on."""

from __future__ import annotations

import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PLUGINS = [tomllib.loads(path.read_text("utf-8")) for path in ROOT.glob("plugins/*/pyproject.toml")]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0].lower() for requirement in requirements}


def declared() -> set[str]:
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", "utf-8")
    requirements = [*tox["tox"]["requires"].split(), *PROJECT["build-system"]["requires"]]
    for project in (PROJECT, *PLUGINS):
        requirements += project["project"].get("dependencies", [])
        for group in (
            *project["project"].get("optional-dependencies", {}).values(),
            *project.get("dependency-groups", {}).values(),
        ):
            requirements += [item for item in group if isinstance(item, str)]
    return {name for name in names(requirements) if not name.startswith("keysvc")}


def documented() -> set[str]:
    text = (ROOT / "docs/dependencies.md").read_text("utf-8")
    return {row.lower() for row in re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)}


def test_every_dependency_is_documented_and_no_other() -> None:
    assert declared() == documented()


def test_the_oldest_versions_are_those_that_pyproject_allows() -> None:
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", "utf-8")
    oldest = dict(pin.split("==") for pin in tox["testenv:oldest"]["deps"].split())
    allowed = dict(
        pin.split(">=")
        for pin in (*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["testing"])
    )
    assert oldest.keys() == allowed.keys()
    assert {name: pin for name, pin in oldest.items() if not f"{pin}.".startswith(f"{allowed[name]}.")} == {}


def test_every_row_says_why_under_which_licence_and_how_to_do_without() -> None:
    rows = re.findall(r"^\| `.*$", (ROOT / "docs/dependencies.md").read_text("utf-8"), re.MULTILINE)
    incomplete = [
        row for row in rows if [cell.strip() for cell in row.strip("|").split("|")].count("") or row.count("|") != 6
    ]
    assert rows
    assert incomplete == []
