"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
from collections import abc
from pathlib import Path

import pytest

import keysvc

ROOT = Path(__file__).parents[1]
MODULES = sorted([*ROOT.glob("keysvc/**/*.py"), *ROOT.glob("plugins/*/keysvc_*/**/*.py")])
TEXT_ROOTS = ("keysvc", "plugins", "tests", "docs", "hsm", "benchmarks", ".ci", ".github")
TEXTS = sorted(
    path
    for path in [*ROOT.glob("*"), *(path for name in TEXT_ROOTS for path in (ROOT / name).rglob("*"))]
    if path.suffix in {".py", ".md", ".toml", ".ini", ".yml", ".sh", ".svg", ".json"}
    or path.name in {"Makefile", "run"}
)

MAX_FILE_LINES = 400  # without blank ones
MAX_FUNCTION_LINES = 60
BANNED = {
    "rewrap": "reseal",
    "manager": "say what it does",
    "helper": "say what it does",
    "util": "say what it does",
    "utils": "say what it does",
    "provider": "store, notifier or sealer",
    "driver": "store, notifier or sealer",
    "backend": "store, notifier or sealer",
    "master_key": "master secret",
    "secret_id": "version",
    "refresh": "poll or fetch",
    "sync": "poll, fetch or fsync",
}
ALLOWED = {
    "direct_password_sync",  # a flag of Enterprise SSO, in its own word
    "OpenSCManager",  # of Windows, in Microsoft's words
    "SC_MANAGER_CONNECT",
    "SC_MANAGER_CREATE_SERVICE",
}

each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


def names_defined(tree: ast.Module) -> abc.Iterator[str]:
    """Every name that a module chooses; those that it only uses were chosen by others."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def banned_in(name: str) -> list[str]:
    """`KeyManager` and `key_manager` hold the word manager; `fsync` and `contextmanager` are words of their own."""
    snake = "_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower() + "_"
    return [word for word in BANNED if f"_{word}_" in snake and name not in ALLOWED]


@pytest.mark.parametrize("name", ["KeyManager", "utils", "is_master_key", "_refresh", "HSMProvider", "SYNC"])
def test_a_banned_word_is_found_in_any_spelling(name: str) -> None:
    assert banned_in(name)


@pytest.mark.parametrize(
    "name", ["fsync", "contextmanager", "master_secret", "utility", "async_", "direct_password_sync"]
)
def test_a_word_that_only_contains_a_banned_one_is_left_alone(name: str) -> None:
    assert not banned_in(name)


def test_the_modules_are_found() -> None:
    assert ROOT / "keysvc/errors.py" in MODULES


@each_module
def test_a_module_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text("utf-8")
    lines = sum(bool(line.strip()) for line in text.splitlines())
    assert lines <= MAX_FILE_LINES, f"{lines} lines: it is asking to be two files"
    assert ast.get_docstring(ast.parse(text)), "a module begins with a docstring"


@each_module
def test_a_function_fits_on_a_screen(path: Path) -> None:
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


@each_module
def test_the_vocabulary_is_kept(path: Path) -> None:
    names = {path.stem, path.parent.name, *names_defined(ast.parse(path.read_text("utf-8")))}
    assert {name: [BANNED[word] for word in banned_in(name)] for name in names if banned_in(name)} == {}


def test_all_that_keysvc_announces_can_be_imported_and_nothing_else() -> None:
    namespace: dict[str, object] = {}
    exec("from keysvc import *", namespace)  # what a user's star import gets
    assert (
        set(keysvc.__all__) == set(namespace) - {"__builtins__"} == {*keysvc._HOMES, "__version__"} == set(dir(keysvc))
    )


@pytest.mark.parametrize(
    "pattern", [r"\bTO" + r"DO\b|\bFIX" + r"ME\b|\bX" + r"XX\b", r"(?<![\w.*}])/(?:root|work|home/\w+)/"]
)
def test_nothing_unfinished_and_no_path_of_somebodys_machine_is_in_the_tree(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in TEXTS
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == []


def test_every_action_of_a_workflow_is_pinned_by_the_hash_of_its_commit() -> None:
    used = [
        line.partition("uses:")[2].strip()
        for path in (ROOT / ".github/workflows").glob("*.yml")
        for line in path.read_text("utf-8").splitlines()
        if "uses:" in line
    ]
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", each)] == []
