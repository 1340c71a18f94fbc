"""What is fuzzed."""

from __future__ import annotations

import contextlib
from collections import abc
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from keysvc.errors import KeysvcError

Call = abc.Callable[[bytes], object]
Opened = contextlib.AbstractContextManager[Call]

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus"


@dataclass(frozen=True)
class Target:
    """A parser. `open` makes it ready in an empty folder and gives what is called with each input. `seeds` are good
    inputs, `words` what its language is made of; a `Way` that the call returns tells inputs apart; `allowed` is what it
    may raise beside the errors of keysvc."""

    name: str
    open: abc.Callable[[Path], Opened]
    seeds: abc.Sequence[bytes]
    words: abc.Sequence[bytes] = ()
    allowed: tuple[type[Exception], ...] = ()
    maximum: int = 2**16
    """Bytes of an input: up to what the product lets in, or a size at which it shows how the cost grows."""
    needs: tuple[str, ...] = ()
    """Modules without which it is skipped: those of a plugin."""
    expected: tuple[type[Exception], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "expected", (KeysvcError, *self.allowed))

    def corpus(self) -> list[bytes]:
        """The seeds, and the inputs that were kept as files because they once found something."""
        return [*self.seeds, *(path.read_bytes() for path in sorted((CORPUS / self.name).glob("*")))]


def simply(call: Call) -> abc.Callable[[Path], Opened]:
    """For a parser that needs nothing."""
    return lambda _folder: contextlib.nullcontext(call)


class Way(tuple[object, ...]):
    """What an input did, as far as it tells it from others."""

    __slots__ = ()


def lines(at: TracebackType | None) -> Way:
    """Where an error came from: the last functions, with their lines."""
    found = []
    while at is not None:
        found.append((at.tb_frame.f_code.co_name, at.tb_lineno))
        at = at.tb_next
    return Way(found[-6:])


def each(*calls: abc.Callable[[], object]) -> Way:
    """Make all calls, also after one that is refused. Returns which way each of them went."""
    return Way(map(_way, calls))


def _way(call: abc.Callable[[], object]) -> object:
    try:
        call()
    except KeysvcError as error:
        return type(error), lines(error.__traceback__)
    return None


def text_of(content: bytes) -> str:
    """As Python decodes arguments of a command: what is no UTF-8 becomes lone surrogates."""
    return content.decode("utf-8", "surrogateescape")
