"""Whether a service lives, and whether it is ready: read from memory, so that asking costs and blocks nothing. The
table in docs/how-to/operate.md says every state with its answer."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass

from keysvc.errors import NotActive
from keysvc.master.cluster_member import Member
from keysvc.plugin.heartbeat import Heart
from keysvc.sso import SSO

LIVE_SECONDS = 120.0
"""How long a thread may be silent before the process counts as dead. Above the deadline of every call that a healthy
thread may wait in, so that an outage of the database restarts nobody."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. The `problem`, which is empty when all is well, is a fixed sentence: no name and no
    secret is in it. One that is not `is_needed` leaves the service ready."""

    name: str
    problem: str = ""
    is_needed: bool = True

    @property
    def is_well(self) -> bool:
        """Whether the service is as well as without this check."""
        return not (self.problem and self.is_needed)

    def __str__(self) -> str:
        mark = "+" if not self.problem else "-" if self.is_needed else "!"
        return f"[{mark}]{self.name} {self.problem or 'ok'}"


Checks = abc.Sequence[Check]
Look = abc.Callable[[], Checks]


def starting() -> Checks:
    """Answer for a service that is not up yet."""
    return [Check("started", "the service is starting")]


def stopping() -> Checks:
    """Answer for a service that ends."""
    return [Check("started", "the service is stopping")]


class Health:
    """Liveness by the heart, readiness by what the service looks at, from `serves` on until `stops`."""

    def __init__(self, heart: Heart) -> None:
        self._heart = heart
        self._look: Look = starting

    def serves(self, look: Look) -> None:
        """The service is up; `look` reads memory alone."""
        self._look = look

    def stops(self) -> None:
        """The service ends."""
        self._look = stopping

    def live(self) -> Checks:
        """Return a check for each thread that is watched."""
        silent = self._heart.silent(LIVE_SECONDS)
        return [Check(name, "does not answer" if name in silent else "") for name in self._heart.parts]

    def ready(self) -> Checks:
        """Return the checks of liveness, and those of the service."""
        return [*self.live(), *self._look()]


def of_master(member: Member) -> Checks:
    """Check a master secret server: an active one holds the lease, a standby could take it."""
    try:
        active = member.active
    except NotActive:
        return [Check("started"), Check("standby", "" if member.can_take_over else "cannot take over now")]
    now = active.condition()
    return [
        Check("started"),
        Check("lease", "" if now.lease_held else "is not held now"),
        Check("key-store", "" if now.key_store_answers else "does not answer", is_needed=False),
        Check("versions", "one cannot be unsealed" if now.sealed_versions else "", is_needed=False),
    ]


def of_agent(sso: SSO) -> Checks:
    """Check an SSO server: it holds versions to decrypt with. Encrypting may be impossible meanwhile."""
    state = sso.status()
    return [
        Check("started"),
        Check("versions", "" if state.versions_held else "none is held: nothing can be decrypted"),
        Check("encrypting", "" if state.can_encrypt else "is not permitted now", is_needed=False),
        Check("master", "" if not state.problem else "did not answer the last poll", is_needed=False),
    ]
