"""Pictures of a terminal as SVG, drawn from what was typed and printed."""

from __future__ import annotations

import textwrap
from collections import abc
from html import escape

COLUMNS, LINE, CHARACTER, EDGE = 100, 18, 7.8, 16
STYLE = "text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#e6e6e6;white-space:pre}.typed{fill:#8be9fd}"


def lines_of(session: abc.Iterable[tuple[str, str]]) -> list[str]:
    """Return the lines of a session as a terminal of 100 columns shows them. A command is a line that begins with $."""
    lines: list[str] = []
    for command, printed in session:
        for line in [f"$ {command}", *printed.replace("\r", "").splitlines()]:
            lines += textwrap.wrap(line.rstrip(), COLUMNS, drop_whitespace=False, subsequent_indent="  ")
    return lines


def said(line: str) -> str:
    """Return the class of a line: what was typed, or what was printed."""
    return "typed" if line.startswith("$ ") else "printed"


def terminal(session: abc.Iterable[tuple[str, str]], title: str) -> str:
    """Return an SVG of a terminal that shows a session: pairs of a command and what it printed."""
    lines = lines_of(session)
    width, height = round(COLUMNS * CHARACTER) + 2 * EDGE, (len(lines) + 1) * LINE + 2 * EDGE
    text = "\n".join(
        f'<text x="{EDGE}" y="{EDGE + number * LINE}" class="{said(line)}">{escape(line)}</text>'
        for number, line in enumerate(lines, 1)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="#1e222a"/>\n{text}\n</svg>\n'
    )
