"""Values that hide a secret: not repr, not str, not asdict, not pickle shows it."""

from __future__ import annotations

import hmac
from typing import Generic, NoReturn, TypeVar

_Hidden = TypeVar("_Hidden", bytes, str)


class _Secret(Generic[_Hidden]):
    """Holds a secret that only `reveal()` shows: not repr, not str, not asdict, not pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: _Hidden) -> None:
        self._value: _Hidden = value

    def reveal(self) -> _Hidden:
        """The secret itself. Search a code review for this word."""
        return self._value

    def _comparable(self) -> bytes:
        return self._value if isinstance(self._value, bytes) else str(self._value).encode("utf-8", "surrogatepass")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return hmac.compare_digest(self._comparable(), other._comparable())

    __hash__ = None  # type: ignore[assignment]  # a hash would let a secret be guessed from a dictionary's order

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __copy__(self) -> _Secret[_Hidden]:
        return self

    def __deepcopy__(self, _memo: object) -> _Secret[_Hidden]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled")


class SecretBytes(_Secret[bytes]):
    """Key material. Compared in constant time."""

    __slots__ = ()


class SecretText(_Secret[str]):
    """A password or a credential field. Compared in constant time."""

    __slots__ = ()
