"""docs/dependencies.md owes a reason for every package that we depend on, requirements/ its version and hashes."""

from __future__ import annotations

import os
import re
import tomllib
from collections import defaultdict
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PLUGINS = [tomllib.loads(path.read_text("utf-8")) for path in ROOT.glob("plugins/*/pyproject.toml")]
GROUPS = PROJECT["dependency-groups"]
RUN = PROJECT["project"]["dependencies"]
TESTING = [*RUN, *PROJECT["project"]["optional-dependencies"]["testing"]]
OF_PLUGINS = [
    requirement
    for plugin in PLUGINS
    for requirement in (*plugin["project"]["dependencies"], *plugin.get("dependency-groups", {}).get("test", []))
]
LOCKS = {path.name: path.read_text("utf-8") for path in ROOT.glob("requirements/*.txt")}
WINDOWS = "windows"
LOCKS[WINDOWS] = (ROOT / "plugins/keysvc-dpapi/wine/requirements.txt").read_text("utf-8")
OLDEST = "oldest.txt"
HELD = {
    "keysvc.txt": [*RUN, *GROUPS["build"]],
    "services.txt": [*RUN, *PROJECT["project"]["optional-dependencies"]["metrics"]],
    "tests.txt": [*TESTING, *GROUPS["build"], *GROUPS["test"]],
    "plugins.txt": [*TESTING, *GROUPS["build"], *GROUPS["test"], *GROUPS["openapi"], *OF_PLUGINS],
    "bench.txt": [*RUN, *GROUPS["build"], *GROUPS["bench"]],
    "types.txt": [*TESTING, *GROUPS["build"], *GROUPS["types"]],
    "docs.txt": GROUPS["docs"],
    "lint.txt": GROUPS["lint"],
    "relock.txt": GROUPS["relock"],
    "tox.txt": GROUPS["tox"],
    OLDEST: [*TESTING, *GROUPS["build"], *GROUPS["test"]],
    WINDOWS: TESTING,
}
each_lock = pytest.mark.parametrize("lock", HELD)


def asked_for(lock: str) -> list[Requirement]:
    requirements = [Requirement(item) for item in HELD[lock] if isinstance(item, str)]
    return [requirement for requirement in requirements if not requirement.name.startswith("keysvc")]


def locked(text: str) -> dict[str, str]:
    return {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^ ;]+)", text, re.MULTILINE)
    }


def names(requirements: list[str]) -> set[str]:
    return {Requirement(requirement).name.lower() for requirement in requirements}


def declared() -> set[str]:
    requirements = [*PROJECT["build-system"]["requires"]]
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


@each_lock
def test_a_lock_holds_what_pyproject_asks_for(lock: str) -> None:
    versions = locked(LOCKS[lock])
    unfit = [
        str(requirement)
        for requirement in asked_for(lock)
        if not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), "0"))
    ]
    assert unfit == [], "make relock"


def test_no_lock_is_left_unchecked() -> None:
    assert LOCKS.keys() == HELD.keys()


@each_lock
def test_a_lock_is_exact_versions_with_hashes_and_names_no_host(lock: str) -> None:
    entries = re.split(r"\n(?! )", LOCKS[lock].replace("\\\n", "").strip())
    assert [
        entry for entry in entries if not re.fullmatch(r"[\w.-]+==\S+( ; [^#]+?)?( +--hash=sha256:\w{64})+", entry)
    ] == []


def test_a_package_has_one_version_in_all_locks_but_the_oldest() -> None:
    versions = defaultdict(set)
    for lock in LOCKS.keys() - {OLDEST}:
        for name, version in locked(LOCKS[lock]).items():
            versions[name].add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_oldest_versions_are_those_that_pyproject_allows() -> None:
    versions = locked(LOCKS[OLDEST])
    lowest = {
        canonicalize_name(requirement.name): bound.version
        for requirement in asked_for(OLDEST)
        for bound in requirement.specifier
        if bound.operator == ">="
    }
    newer = {name: versions[name] for name, bound in lowest.items() if not f"{versions[name]}.".startswith(f"{bound}.")}
    assert newer == {}


def test_what_is_installed_here_is_what_the_lock_says() -> None:
    lock = os.environ.get("KEYSVC_TEST_LOCK") or pytest.skip("this environment comes from no lock: tox run -e tests")
    versions = locked(Path(lock).read_text("utf-8"))
    installed = {canonicalize_name(found.name): found.version for found in distributions()}
    unlocked = {
        name: version
        for name, version in installed.items()
        if not name.startswith("keysvc") and name != "pip" and versions.get(name) != version
    }
    assert unlocked == {}


def test_every_row_says_why_under_which_licence_and_how_to_do_without() -> None:
    rows = re.findall(r"^\| `.*$", (ROOT / "docs/dependencies.md").read_text("utf-8"), re.MULTILINE)
    incomplete = [
        row for row in rows if [cell.strip() for cell in row.strip("|").split("|")].count("") or row.count("|") != 6
    ]
    assert rows
    assert incomplete == []
