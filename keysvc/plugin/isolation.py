"""Keeps a plugin's mistakes its own: what a part raises beside keysvc's errors becomes one error of its kind, which
names the plugin, the method and the place, and never shows the exception's text: that may hold a secret.

With KEYSVC_TRACEBACK set, the whole traceback goes to stderr, for the plugin's author.
"""

from __future__ import annotations

import os
import traceback
from collections import abc
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from keysvc.errors import KeysvcError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """What a plugin did wrong: `where` is import, a hook, opening or a method (`KeyStore.seal`), `problem` one line."""

    plugin: str
    distribution: str
    where: str
    problem: str

    @property
    def hint(self) -> str:
        """What to do next."""
        return what_to_do(self.distribution, self.plugin)

    @property
    def told(self) -> dict[str, str]:
        """All of it, for a log or an event."""
        return {**asdict(self), "hint": self.hint}

    def __str__(self) -> str:
        return f"the plugin {self.plugin} of {self.distribution} failed in {self.where}: {self.problem}"


Tell = abc.Callable[[PluginFailure], None]


def what_to_do(distribution: str, plugin: str) -> str:
    """About a plugin that does not work."""
    return f"update {distribution}, or tell its authors; KEYSVC_DISABLED_PLUGINS={plugin} leaves it out"


@dataclass(frozen=True, slots=True)
class Guard:
    """Runs what a plugin supplies. `error` is raised for its mistakes, after `tell` was told."""

    plugin: str
    distribution: str
    error: type[KeysvcError]
    tell: Tell

    def call(self, where: str, function: abc.Callable[..., Result], *arguments: object, **options: object) -> Result:
        """`function(…)`. Lets errors of keysvc and Ctrl-C pass."""
        try:
            return function(*arguments, **options)
        except (KeysvcError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  SystemExit of a plugin must not end the service either
            raise self._failed(where, error) from None

    def _failed(self, where: str, error: BaseException) -> KeysvcError:
        if os.environ.get("KEYSVC_TRACEBACK"):
            traceback.print_exception(error)
        failure = PluginFailure(self.plugin, self.distribution, where, named(error))
        self.tell(failure)
        return self.error(str(failure), hint=failure.hint)


class Isolated:
    """Stands for a part: each of its methods, guarded. Looked up once a method, so that a call costs one frame more."""

    def __init__(self, part: object, kind: str, guard: Guard) -> None:
        self._part = part
        self._kind = kind
        self._guard = guard

    def __getattr__(self, name: str) -> Any:
        found = self._guard.call(f"{self._kind}.{name}", getattr, self._part, name)
        if not callable(found):
            return found
        where, call = f"{self._kind}.{name}", self._guard.call

        def method(*arguments: object, **options: object) -> object:
            return call(where, found, *arguments, **options)

        setattr(self, name, method)
        return method

    def __repr__(self) -> str:
        try:
            return repr(self._part)
        except BaseException:  # noqa: BLE001  whoever looks at it wants no exception
            return f"<{self._kind} of the plugin {self._guard.plugin}>"


def named(error: BaseException) -> str:
    """The exception's class and the line that raised it: no text of it."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    kind = type(error).__name__
    return kind if at is None else f"{kind} at {at.tb_frame.f_globals.get('__name__', '?')}:{at.tb_lineno}"
