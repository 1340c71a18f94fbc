"""What commands print: JSON for programs, tables and a few plain lines for people."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import abc
from typing import TYPE_CHECKING, Any, Protocol

import typer

if TYPE_CHECKING:
    from datetime import datetime


class Show(Protocol):
    """Called with how many are done, and where these change, of how many and what else is to be said."""

    def __call__(self, done: int, total: int | None = ..., said: str | None = ..., /) -> None:
        """Show it."""


def print_json(value: object) -> None:
    """Dataclasses and structs as objects, times as RFC 3339."""
    import json

    import msgspec

    plain: Any = msgspec.to_builtins(value)
    typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))


def print_table(columns: abc.Sequence[str], rows: abc.Sequence[abc.Sequence[object]], *, empty: str) -> None:
    """A table; numbers to the right; `empty` when there are no rows."""
    if not rows:
        typer.echo(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        numbers = all(isinstance(row[position], int) and not isinstance(row[position], bool) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def ago(at: datetime) -> str:
    """How long ago, for people."""
    from keysvc.model import utc_now

    seconds = int((utc_now() - at).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{max(seconds, 0)} s ago"


@contextlib.contextmanager
def progress(what: str, total: int) -> abc.Iterator[Show]:
    """A bar on stderr with rate and remaining time; silent when that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total=None, _said=None: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[said]}"))
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, said="")

        def show(done: int, total: int | None = total, said: str | None = None) -> None:
            bar.update(task, completed=done, total=total, said=_pace(began, done, total) if said is None else said)

        yield show


def _pace(began: float, done: int, total: int | None) -> str:
    rate = done / max(time.monotonic() - began, 0.001)
    return f"{rate:,.0f}/s, {duration(round(((total or done) - done) / rate))} left" if done else ""


def duration(seconds: int) -> str:
    """For people."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def warn(text: str) -> None:
    """One line on stderr."""
    typer.echo(f"warning: {text}", err=True)
