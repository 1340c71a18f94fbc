"""Answering from memory, or not at all: so an event loop may look a credential up itself, and needs a thread only for
those that somebody has to be asked for."""

from __future__ import annotations

from collections import abc
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")

_memory_alone: ContextVar[bool] = ContextVar("memory_alone", default=False)


class NotInMemory(Exception):
    """The mapping store or an authorizer has to be asked, and that may take its time. Nothing was changed."""


def from_memory(function: abc.Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result:
    """What `function` returns or raises, unless it is `about_to_wait`: then raises NotInMemory."""
    before = _memory_alone.set(True)
    try:
        return function(*arguments, **named)
    finally:
        _memory_alone.reset(before)


def about_to_wait() -> None:
    """Call it before the mapping store or an authorizer is asked, and before anything changes."""
    if _memory_alone.get():
        raise NotInMemory
