"""Judges a fleet whose database failed over. Where commits may be lost, applications see nothing worse than the loss,
and keysvc notices it."""

from __future__ import annotations

from collections import abc, defaultdict
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from chaos import checker, registers
from chaos.checker import Judgement, Seen, acknowledged_writes
from chaos.failovers import Outage
from chaos.history import Operation, read

PATIENCE_SECONDS = 2.0
"""How long a lookup without the database may take to say so, and writes may be refused after the promotion."""
FIRST_LOOKUPS = ("fresh", "cached")


@dataclass(frozen=True, slots=True)
class Expected:
    """What befell the database, and how patient the judge is: more so on a loaded machine."""

    outage: Outage
    patience: float = PATIENCE_SECONDS


def judge(folder: Path, expected: Expected) -> Judgement:
    """Read the histories in `folder` and apply the rules that hold for such an outage."""
    logs = [read(path) for path in sorted(folder.glob("*.jsonl"))]
    site = next(log for log in logs if log.process == "site")
    seen = Seen(site, [log for log in logs if log is not site], list(site.of("fault")), list(site.of("sample")))
    found = [f"{rule.__name__}: {violation}" for rule in RULES for violation in rule(seen, expected)]
    shared = SHARED_WHEN_LOSING if expected.outage.loses else SHARED
    found += [f"{rule.__name__}: {violation}" for rule in shared for violation in rule(seen)]
    return Judgement(_count(seen, expected.outage), found)


def _count(seen: Seen, outage: Outage) -> dict[str, int]:
    operations = [operation for log in seen.servers for operation in log.operations]
    looks = [o for o in operations if o.action != "write"]
    writes = [o for o in operations if o.action == "write"]
    return {
        "lookups": sum(not o.error for o in looks),
        "lookups without the database": sum(o.error == "mapping-store-unavailable" for o in looks),
        "lookups failed otherwise": sum(bool(o.error) and o.error != "mapping-store-unavailable" for o in looks),
        "writes": sum(not o.error and o.end < inf for o in writes),
        "writes refused": sum(bool(o.error) for o in writes),
        "commits lost": len(lost_commits(seen, outage)),
        "losses noticed": sum(1 for _ in seen.site.of("noticed")),
        "milliseconds until promotion": round(1000 * (outage.promoted - outage.begin)),
    }


def _by_key(seen: Seen) -> dict[str, list[Operation]]:
    by_key = defaultdict(list)
    for operation in seen.operations:
        by_key[operation.key].append(operation)
    return by_key


def lost_commits(seen: Seen, outage: Outage) -> list[Operation]:
    """The acknowledged writes from before the promotion in place of which something older was seen after it."""
    found = []
    for operations in _by_key(seen).values():
        writes = {o.value: o for o in operations if o.action == "write"}
        later = {
            o.value for o in operations if o.action != "write" and not o.error and outage.end <= o.begin < o.end < inf
        }
        for write in writes.values():
            acknowledged = not write.error and outage.begin <= write.end <= outage.promoted
            older = any(value is None or (value in writes and writes[value].end < write.begin) for value in later)
            if acknowledged and older:
                found.append(write)
    return found


# -- rules -----------------------------------------------------------------------------------------------------------


def every_loss_is_noticed(seen: Seen, expected: Expected) -> abc.Iterator[str]:
    """No loss where replication is synchronous; elsewhere status names it."""
    lost = lost_commits(seen, expected.outage)
    if lost and not expected.outage.loses:
        yield f"{len(lost)} acknowledged writes are lost, such as {lost[0]}"
    elif lost and not any(seen.site.of("noticed")):
        yield f"{len(lost)} acknowledged writes are lost, and nobody noticed, such as {lost[0]}"


def credentials_are_registers_before_and_after(seen: Seen, expected: Expected) -> abc.Iterator[str]:
    """What was written before a loss may come back or not; afterwards no credential changes without a write."""
    if not expected.outage.loses:
        return
    begin, end = expected.outage.begin, expected.outage.end + checker.POLL_SECONDS
    for key, operations in sorted(_by_key(seen).items()):
        before = [o for o in operations if o.end <= begin and o.action != "cached"]
        before += [replace(o, end=inf) for o in operations if o.action == "write" and o.begin <= begin < o.end]
        maybe = [replace(o, error="may be lost", end=inf) for o in operations if o.action == "write" and o.begin <= end]
        after = [o for o in operations if o.begin > end and o.action != "cached" and (o.value or o.error)]
        for violation in registers.violations(before):
            yield f"before, {key}: {violation}"
        for violation in registers.violations([*maybe, *after]):
            yield f"after, {key}: {violation}"


def what_is_cached_is_answered(seen: Seen, _expected: Expected) -> abc.Iterator[str]:
    """A look-up that memory may answer does not fail when this process looked the same credential up before."""
    for log in seen.servers:
        known: dict[str, Operation] = {}
        for operation in sorted(log.operations, key=lambda o: o.begin):
            before = known.get(operation.key)
            in_memory = before is not None and _is_kept(before) and before.end <= operation.begin
            if operation.action == "cached" and operation.error and in_memory:
                yield str(operation)
            if not (operation.action == "fresh" and operation.error):
                known[operation.key] = operation


def _is_kept(look: Operation) -> bool:
    return not look.error and look.action in FIRST_LOOKUPS and look.value is not None


def a_look_up_without_the_database_says_so_soon(seen: Seen, expected: Expected) -> abc.Iterator[str]:
    """What memory does not answer ends as mapping-store-unavailable, and in time."""
    for log in seen.servers:
        for operation in log.operations:
            if operation.action == "write" or not operation.error:
                continue
            if operation.error != "mapping-store-unavailable":
                yield f"another error: {operation}"
            elif inf > operation.end > operation.begin + expected.patience:
                yield f"after {operation.end - operation.begin:.1f} s: {operation}"


def writes_are_refused_only_while_the_database_is_away(seen: Seen, expected: Expected) -> abc.Iterator[str]:
    """From the first moment of the fault to the promotion, and as long as the judge is patient."""
    begin, end = expected.outage.begin, expected.outage.end + expected.patience
    for log in seen.servers:
        for operation in log.operations:
            if (
                operation.action == "write"
                and operation.error
                and not (begin <= operation.end and operation.begin <= end)
            ):
                yield str(operation)


def no_acknowledged_write_is_under_a_lost_version(seen: Seen, expected: Expected) -> abc.Iterator[str]:
    """After the end, every credential that is there decrypts: none is under a secret that nobody has."""
    for operation in seen.site.operations:
        if operation.error:
            yield str(operation)


def there_is_something_to_judge(seen: Seen, expected: Expected) -> abc.Iterator[str]:
    """Applications stored credentials before the fault and after it."""
    ends = [write.end for log in seen.servers for write in acknowledged_writes(log)]
    if not any(end < expected.outage.begin for end in ends):
        yield "nothing was stored before the fault"
    if not any(end > expected.outage.end for end in ends):
        yield "nothing was stored after it"


RULES: tuple[abc.Callable[[Seen, Expected], abc.Iterator[str]], ...] = (
    every_loss_is_noticed,
    credentials_are_registers_before_and_after,
    what_is_cached_is_answered,
    a_look_up_without_the_database_says_so_soon,
    writes_are_refused_only_while_the_database_is_away,
    no_acknowledged_write_is_under_a_lost_version,
    there_is_something_to_judge,
)
SHARED_WHEN_LOSING: tuple[abc.Callable[[Seen], abc.Iterator[str]], ...] = (
    checker.nothing_is_encrypted_without_permission,
    checker.every_operation_ends,
    checker.all_recovers,
)
SHARED: tuple[abc.Callable[[Seen], abc.Iterator[str]], ...] = (
    *SHARED_WHEN_LOSING,
    checker.every_credential_is_a_register,
    checker.no_write_is_under_a_version_that_was_not_active_any_more,
    checker.epochs_and_versions_only_grow,
    checker.no_sso_server_is_told_anything_older,
    checker.no_row_comes_under_a_version_that_is_not_active,
    checker.a_version_is_active_only_when_all_who_may_encrypt_hold_it,
)
