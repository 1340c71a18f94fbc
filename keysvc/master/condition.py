"""What a master secret server knows of itself at one moment, for its probes and metrics."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass

from keysvc.model import Role, VersionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """All of it is from memory. `versions` are those that are not destroyed, `members` those that polled lately;
    `notifiers` says of each whether it accepts."""

    lease_held: bool
    epoch: int
    lease_remaining_seconds: float
    lease_renewals: int
    versions: tuple[VersionRecord, ...]
    sealed_versions: int
    key_store_answers: bool
    remaining_rows: int
    undecryptable_rows: int
    members: abc.Mapping[Role, int]
    standbys_ready: int
    notifiers: abc.Mapping[str, bool]
    damaged_trails: int
