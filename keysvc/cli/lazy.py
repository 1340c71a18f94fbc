"""Groups of commands that are not imported before one of their commands is wanted: most of what a command costs is to
import and describe all the others."""

from __future__ import annotations

import functools
import importlib
from collections import abc
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group


def later(module: str, says: str) -> typer.Typer:
    """A group with this help, whose commands are those of the `app` in `module`."""

    class Later(TyperGroup):
        """Looks its commands up when they are asked for."""

        @functools.cached_property
        def _there(self) -> abc.MutableMapping[str, Any]:
            return get_group(importlib.import_module(module).app).commands

        @property
        def commands(self) -> abc.MutableMapping[str, Any]:
            return self._there

        @commands.setter
        def commands(self, _none: abc.MutableMapping[str, Any]) -> None:
            """What typer finds here, which is nothing yet."""

    return typer.Typer(cls=Later, help=says, no_args_is_help=True, rich_markup_mode=None)
