"""Whether what applications saw of one credential could have happened one thing after the other.

Every value is written once, so that a look-up tells which write it saw. Then a history is linearizable just when the
zones of its values do not collide (Gibbons & Korach, Testing Shared Memories, 1997, section 4): a value's zone reaches
from the first end of an operation on it to the last begin of one. Where the end is before the begin, the register
surely held the value throughout (a forward zone): two of these never overlap, and no other zone lies within one.
"""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from math import inf

from chaos.history import Operation


@dataclass(frozen=True, slots=True)
class Zone:
    """`low` to `high`; `forward` when the register surely held the value in between."""

    value: str | None
    low: float
    high: float
    forward: bool


def violations(operations: abc.Iterable[Operation]) -> list[str]:
    """What cannot have happened to one credential. Before the first write, it is None."""
    writes, looks = {}, {}
    for operation in operations:
        if operation.action == "write":
            writes[operation.value] = operation
        elif not operation.error and operation.end < inf:
            looks.setdefault(operation.value, []).append(operation)
    found = []
    zones = []
    for value, seen in looks.items():
        write = writes.get(value) if value is not None else Operation("", "write", "", None, -inf, -inf)
        if write is None:
            found.append(f"a foreign value: {seen[0]}")
        elif refused(write):
            found.append(f"a value whose write was refused ({write.error}): {seen[0]}")
        elif early := [look for look in seen if look.end < write.begin]:
            found.append(f"a value before it was written: {early[0]}")
        else:
            zones.append(_zone(value, [write, *seen]))
    unseen = [w for value, w in writes.items() if value not in looks and not w.error and w.end < inf]
    zones += [_zone(write.value, [write]) for write in unseen]
    return found + _collisions(zones)


def refused(write: Operation) -> bool:
    """It ended with an error that says that nothing was written; after others it may have been."""
    return bool(write.error) and write.error != "mapping-store-unavailable" and write.end < inf


def _zone(value: str | None, operations: abc.Sequence[Operation]) -> Zone:
    first_end = min(_end(operation) for operation in operations)
    last_begin = max(operation.begin for operation in operations)
    return Zone(value, min(first_end, last_begin), max(first_end, last_begin), forward=first_end < last_begin)


def _end(operation: Operation) -> float:
    """A write that was not acknowledged may come to be at any later time."""
    return inf if operation.action == "write" and operation.error else operation.end


def _collisions(zones: abc.Iterable[Zone]) -> list[str]:
    zones = sorted(zones, key=lambda zone: zone.low)
    found = []
    holding: Zone | None = None
    for zone in zones:
        if holding is not None and zone.low < holding.high and (zone.forward or zone.high < holding.high):
            found.append(
                f"{holding.value} was there at {holding.low:.3f} and at {holding.high:.3f}, "
                f"and {zone.value} was {'seen' if zone.forward else 'written, or seen,'} between"
                f" ({zone.low:.3f} to {zone.high:.3f})"
            )
        if zone.forward and (holding is None or zone.high > holding.high):
            holding = zone
    return found
