"""Who takes part: certificates, join tokens, and the SSO servers that run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What a certificate entitles to. Only a master secret server itself, active or standby, has MASTER."""

    MASTER = "master"
    ADMINISTRATOR = "administrator"
    SERVER = "server"
    APPLICATION = "application"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Server:
    """One running SSO server, or standby, as the master secret server last saw it. `name` is of its certificate,
    `instance` of its process: several processes may share one certificate.

    A standby, of the role master, has a `url`; the versions that it holds are those that its key store opened, and
    `problem` says why it could not take over, empty when it could. `schema_version` is the newest schema of a mapping
    store that its release knows; release 0.1 does not say it.
    """

    name: str
    instance: str
    versions_held: tuple[int, ...]
    seen_at: datetime
    role: Role = Role.SERVER
    url: str = ""
    problem: str = ""
    schema_version: int = 1


def host_name(role: Role, system_id: str) -> str:
    """The DNS name in a certificate that serves: peers check this one, whatever address they connected to."""
    return f"{role.value}.{system_id}.keysvc.internal"


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled certificate, which expires at `expires_at`. Under `name` its `serial` (hex) is accepted alone, and
    until then `previous_serial`, which it replaced when it was renewed. `previous_may_renew` once more until the new
    one was seen: the answer to a renewal may be lost."""

    name: str
    role: Role
    serial: str
    enrolled_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    previous_serial: str = ""
    revision: int = 0
    previous_may_renew: bool = False


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A one-time join token that was printed but not kept: `token_hash` is its SHA-256 in hex."""

    token_hash: str
    name: str
    role: Role
    expires_at: datetime
    redeemed_at: datetime | None = None
    ended_at: datetime | None = None
    revision: int = 0
