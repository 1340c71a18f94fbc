"""What pages of the documentation show of a terminal: the commands that are typed, and what they print."""

from __future__ import annotations

import re


def typed(markdown: str) -> list[tuple[str, list[str]]]:
    """Return each command of the console blocks, with the lines that it prints."""
    commands: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", markdown, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append((line.removeprefix("$ "), []))
            else:
                commands[-1][1].append(line)
    assert commands
    return commands


def fits(shown: list[str], printed: str) -> bool:
    """Whether what was printed is what the page shows. … stands for any text, alone in a line for any lines."""
    lines = [re.escape(narrow(line)).replace("…", ".*") for line in shown]
    pattern = "".join(r"(?:.*\n)*?" if line == ".*" else f"{line} ?\n" for line in lines)
    return re.fullmatch(pattern, narrow(printed)) is not None


def narrow(text: str) -> str:
    """Return a text in which columns are as narrow as can be."""
    return re.sub("─+", "─", re.sub(" +", " ", text))
