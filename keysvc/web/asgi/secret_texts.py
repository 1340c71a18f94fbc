"""Secret texts in bodies: in the program each is a SecretText, in JSON it is a text."""

from __future__ import annotations

from typing import Any

from keysvc.model import SecretText


def hide_secret(kind: type[Any], value: object) -> SecretText:
    """Decode one, as msgspec asks. Raises TypeError for what is no text, and names no value."""
    if kind is not SecretText or not isinstance(value, str):
        raise TypeError("Expected `str`")
    return SecretText(value)


def reveal_secret(value: object) -> str:
    """Encode one, as msgspec asks. Raises NotImplementedError for another kind."""
    if not isinstance(value, SecretText):
        raise NotImplementedError(type(value).__name__)
    return value.reveal()


def schema_of_secret(kind: type[Any]) -> dict[str, Any]:
    """Describe one, as msgspec asks. Raises NotImplementedError for another kind."""
    if kind is not SecretText:
        raise NotImplementedError(kind.__name__)
    return {"type": "string"}
