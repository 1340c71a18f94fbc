"""What keysvc itself refuses or finds in the token's own process."""

from __future__ import annotations


class Refused(Exception):
    """Something that a person must repair. Holds no secret."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Broken(Exception):
    """What was sealed does not open, though the token works. Holds no secret."""
