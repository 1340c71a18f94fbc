"""The token with which a machine joins, as it is printed and read."""

from __future__ import annotations

from dataclasses import dataclass

from keysvc.errors import InvalidInput
from keysvc.model import SecretText

PREFIX = "keysvc-join-1"


@dataclass(frozen=True, slots=True)
class JoinToken:
    """What `keysvc server enroll` prints: it pins the certificate authority and carries a one-time secret."""

    authority_fingerprint: str
    secret: SecretText

    def __str__(self) -> str:
        return f"{PREFIX}.{self.authority_fingerprint}.{self.secret.reveal()}"

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Raises InvalidInput."""
        prefix, *rest = text.strip().split(".")
        if prefix != PREFIX or len(rest) != 2 or len(rest[0]) != 64 or len(rest[1]) < 32:
            raise InvalidInput("this is not a join token", hint="make one on the master: keysvc server enroll NAME")
        return cls(rest[0], SecretText(rest[1]))
