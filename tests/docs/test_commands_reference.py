"""docs/reference/commands.md is what `--help` of every command says. KEYSVC_WRITE_DOCS=1 writes it anew."""

from __future__ import annotations

import os
import re
from collections import abc
from pathlib import Path
from typing import Any

import pytest
import typer.main

from keysvc.cli.commands import app

PAGE = Path(__file__).parents[2] / "docs/reference/commands.md"
BEGINNING = """# Commands

For whoever types `keysvc`: every command with its arguments and options, as `--help` says it. A test writes this page
from the commands themselves.

`--config PATH` may follow any command, and `-h` or `--help`. A command ends with status 0 when it is done and with 1
when it is refused or fails; then one line says `error: CODE: what; hint` ([errors](errors.md)). Status 2 is a wrong
option. Secrets are asked for on the terminal, or read from a file or an environment variable; no option takes one.
`--json` prints JSON for programs.

Plugins add `keysvc console` ([keysvc-console](../../plugins/keysvc-console/README.md)), and on Windows
`keysvc service` and `keysvc registry` ([keysvc-dpapi](../../plugins/keysvc-dpapi/README.md)).
"""
EVERYWHERE = {"--config", "--help", "-h"}


def commands(command: Any, name: str = "keysvc") -> abc.Iterator[tuple[str, Any]]:
    """Every command below a group with its full name, the groups among them."""
    yield name, command
    for below in sorted(getattr(command, "commands", {})):
        if (
            not (name == "keysvc" and below in {"console", "registry", "service"})
            and not command.commands[below].hidden
        ):
            yield from commands(command.commands[below], f"{name} {below}")


def cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def section(name: str, command: Any) -> str:
    """The heading, the help, the examples and the options of a command."""
    said, *examples = (command.help or "").split("\b\n")
    depth = "##" if hasattr(command, "commands") else "###"
    lines = [f"{depth} `{name}`", ""]
    lines += [" ".join(paragraph.split()) + "\n" for paragraph in said.strip().split("\n\n")]
    lines += [f"```text\n{example.strip()}\n```\n" for example in examples]
    context = command.context_class(command, info_name=name)
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [
        (re.sub(" <.*>$", "", names), what)
        for names, what in filter(None, records)
        if not EVERYWHERE & set(names.replace(",", " ").split())
    ]
    if rows and name != "keysvc":
        lines += [
            "| option | what it does |",
            "| --- | --- |",
            *(f"| `{cell(names)}` | {cell(what)} |" for names, what in rows),
            "",
        ]
    return "\n".join(lines)


def page() -> str:
    parts = dict(commands(typer.main.get_command(app)))
    alone = [name for name, command in parts.items() if len(name.split()) == 2 and not hasattr(command, "commands")]
    groups = [name for name in parts if name not in {"keysvc", *alone}]
    sections = [section(name, parts[name]) for name in (*alone, *groups)]
    return BEGINNING + "\n## Without a group\n\n" + "\n".join(sections)


def test_the_page_says_what_help_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEYSVC_CONFIG", raising=False)
    if os.environ.get("KEYSVC_WRITE_DOCS"):
        PAGE.write_text(page(), "utf-8")
    assert PAGE.read_text("utf-8") == page()


def test_every_command_and_option_is_on_the_page() -> None:
    text = PAGE.read_text("utf-8")
    for name, command in commands(typer.main.get_command(app)):
        part = text.partition(f"# `{name}`\n")[2].partition("\n## ")[0].partition("\n### ")[0]
        assert part or name == "keysvc", name
        for parameter in command.params if name != "keysvc" else ():
            longest = max(parameter.opts, key=len)
            assert longest in part or longest.startswith(tuple(EVERYWHERE)) or not longest.startswith("--"), (
                name,
                longest,
            )


def test_every_command_says_what_it_does() -> None:
    silent = [name for name, command in commands(typer.main.get_command(app)) if not (command.help or "").strip()]
    assert silent == []
