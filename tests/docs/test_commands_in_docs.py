"""Every `keysvc …` in the documentation, in hints of errors and in `--help` is a command, with options that it has."""

from __future__ import annotations

import re
from collections import abc
from pathlib import Path

import pytest
import typer.main

from keysvc.cli.commands import app

ROOT = Path(__file__).parents[2]
PAGE_PLACES = ("*.md", "docs/**/*.md", "plugins/*/README.md", "hsm/**/*.md")
PAGES = sorted(path for place in PAGE_PLACES for path in ROOT.glob(place))
SOURCES = sorted([*ROOT.glob("keysvc/**/*.py"), *ROOT.glob("plugins/*/keysvc_*/**/*.py")])
OF_PLUGINS = {"console", "service", "registry"}  # keysvc-console and keysvc-dpapi add them
COMMAND = typer.main.get_command(app)


SHOWN = re.compile(r"(^\s*\$ |`|^\s*|: |; |&& |runs?: )keysvc ((?:--?\w|[a-z])[^\n`#|&]*)", re.MULTILINE)
LABELS = (
    "credential key v1",
    "fetch v1",
    "key check value v1",
    "shares v1",
    "ticket key v1",
    "audit link v1",
    "audit key v1",
)  # of key derivation


def shown(text: str) -> abc.Iterator[list[str]]:
    """The words behind `keysvc`, up to what ends a command. A sentence that begins with keysvc is none."""
    for before, said in SHOWN.findall(text):
        words = [word.strip("'\"`.,:;)") for word in re.split(r"  |; |\", ", said)[0].split()]
        command = before.strip() in {"$", "`"} or words[0] in COMMAND.commands
        if command and not said.startswith(LABELS):
            yield words


def problem(words: abc.Sequence[str]) -> str:
    """Empty when there are such a command and such options."""
    command, value_of = COMMAND, ""
    for word in words:
        commands = getattr(command, "commands", {})
        if word.startswith("-"):
            parameters = (*command.params, *COMMAND.params)
            known = {name for each in parameters for name in (*each.opts, *each.secondary_opts)}
            if not word.strip("-") or word.partition("=")[0] in known | {"--help", "-h"}:
                value_of = word
                continue
            return f"{command.name} has no option {word}"
        if commands and value_of != "--config" and re.fullmatch(r"[a-z-]+", word):
            if word in OF_PLUGINS:
                return ""
            if word not in commands:
                return f"{command.name} has no command {word}"
            command = commands[word]
        value_of = ""
    return ""


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_shown_exists(path: Path) -> None:
    problems = {" ".join(words): problem(words) for words in shown(path.read_text("utf-8"))}
    assert {said: why for said, why in problems.items() if why} == {}


@pytest.mark.parametrize("said", ["$ keysvc secret revolve", ": keysvc secret rotate --wat", "`keysvc nonsense`"])
def test_one_that_does_not_exist_is_found(said: str) -> None:
    assert all(problem(words) for words in shown(said))
    assert list(shown(said))


def test_the_commands_of_the_readme_are_among_those_looked_at() -> None:
    found = [" ".join(words) for words in shown((ROOT / "README.md").read_text("utf-8"))]
    assert any(said.startswith("init --dir") for said in found)
    assert any(said.startswith("secret rotate") for said in found)
