"""What an SSO server knows of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerState:
    """What an SSO server knows of itself. `problem` is why the last poll failed, else empty."""

    system_id: str
    epoch: int
    active_version: int | None
    versions_held: tuple[int, ...]
    can_encrypt: bool
    problem: str
