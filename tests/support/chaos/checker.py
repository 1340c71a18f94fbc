"""Judges the histories of a run. Each rule is a function that yields what breaks it."""

from __future__ import annotations

from collections import abc, defaultdict
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from chaos import registers
from chaos.history import Log, Operation, read

POLL_SECONDS = 1.0
PERMISSION_SECONDS = 2 * POLL_SECONDS
PATIENCE_SECONDS = 60.0
"""How long an operation may wait for what was paused or cut off."""
RECOVERY_SECONDS = 15.0
"""How long after a fault of the database, or of a process that may have held a lock in it, an operation may fail."""
ORDER = ("announced", "active", "retiring", "destroyed")


@dataclass
class Judgement:
    """What a run came to."""

    counts: dict[str, int]
    violations: list[str]

    def __str__(self) -> str:
        counted = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        shown = [f"VIOLATION  {violation}" for violation in self.violations[:20]]
        return "\n".join([f"{counted}, violations {len(self.violations)}", *shown])


@dataclass
class Seen:
    """All histories of a run."""

    site: Log
    servers: list[Log]
    faults: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def operations(self) -> abc.Iterator[Operation]:
        return (operation for log in (*self.servers, self.site) for operation in log.operations)

    def faults_between(self, begin: float, end: float, *actions: str) -> list[dict[str, Any]]:
        return [f for f in self.faults if f["action"] in actions and f["begin"] <= end and begin <= f["at"]]


def judge(folder: Path, done: abc.Mapping[str, int]) -> Judgement:
    """Read the histories in `folder` and apply every rule."""
    logs = [read(path) for path in sorted(folder.glob("*.jsonl"))]
    site = next(log for log in logs if log.process == "site")
    seen = Seen(site, [log for log in logs if log is not site], list(site.of("fault")), list(site.of("sample")))
    found = [f"{rule.__name__}: {violation}" for rule in RULES for violation in rule(seen)]
    return Judgement(count(seen, done), found)


def count(seen: Seen, done: abc.Mapping[str, int]) -> dict[str, int]:
    operations = list(seen.operations)
    looks = [o for o in operations if o.action != "write"]
    writes = [o for o in operations if o.action == "write"]
    epochs = {sample["lease"][0] for sample in seen.samples if sample["lease"]}
    active = {active_in(sample) for sample in seen.samples} - {None}

    def befell(*actions: str) -> int:
        return sum(done.get(action, 0) for action in actions)

    def without(asked: abc.Iterable[Operation], error: str) -> int:
        return sum(operation.error == error for operation in asked)

    return {
        "kills": befell("kill", "kill-database"),
        "pauses": befell("pause"),
        "partitions": befell("cut", "silence", "cut-database", "silence-database"),
        "restarts": befell("stop", "restart-database"),
        "rotations": max(len(active) - 1, 0),
        "destroyed": sum(state == "destroyed" for state in seen.samples[-1]["versions"].values()),
        "failovers": max(len(epochs) - 1, 0),
        "lookups": sum(not o.error for o in looks),
        "lookups without the database": without(looks, "mapping-store-unavailable"),
        "lookups before a first fetch": without(looks, "master-secret-server-unavailable"),
        "lookups failed": sum(bool(o.error) and o.error not in EXPECTED for o in looks),
        "writes": sum(not o.error and o.end < inf for o in writes),
        "writes refused": sum(bool(o.error) for o in writes),
        "writes cut off": sum(o.end == inf for o in writes),
    }


EXPECTED = ("mapping-store-unavailable", "master-secret-server-unavailable")
"""What a look-up may end with when the database, or every master, is away; when it may not, a rule says so."""


# -- what applications saw -----------------------------------------------------------------------------------------


def every_credential_is_a_register(seen: Seen) -> abc.Iterator[str]:
    """No stale, foreign or lost value. What memory may answer counts as looked up a poll interval earlier, and while
    the database is away, at any earlier time; though never before what its own process stored."""
    by_key = defaultdict(list)
    for log in (*seen.servers, seen.site):
        own = defaultdict(list)
        for write in acknowledged_writes(log):
            own[write.key].append(write)
        for seen_by in log.operations:
            begin = _could_be_from(seen, seen_by, own[seen_by.key]) if seen_by.action == "cached" else seen_by.begin
            by_key[seen_by.key].append(replace(seen_by, begin=begin))
    for key, operations in sorted(by_key.items()):
        for violation in registers.violations(operations):
            yield f"{key}: {violation}"


def _could_be_from(seen: Seen, look: Operation, own: abc.Iterable[Operation]) -> float:
    kept = look.begin - POLL_SECONDS
    if seen.faults_between(kept - POLL_SECONDS, look.end, *DATABASE_FAULTS):
        kept = -inf
    return min(look.begin, max([kept, *(write.begin for write in own if write.end <= look.begin)]))


DATABASE_FAULTS = ("cut-database", "silence-database", "kill-database", "restart-database")
LOCKING_FAULTS = (*DATABASE_FAULTS, "pause", "kill", "stop")


def no_look_up_fails(seen: Seen) -> abc.Iterator[str]:
    """Except for a version that never was in this process's memory while no master is there to give it: one that became
    active while this process might not encrypt. Or while the mapping store was away, and memory does not answer."""
    for log in seen.servers:
        announced = list(log.of("announced"))
        for operation in log.operations:
            if operation.action == "write" or not operation.error:
                continue
            match operation.error:
                case "mapping-store-unavailable":
                    begin = operation.begin - RECOVERY_SECONDS
                    excused = bool(seen.faults_between(begin, operation.end, *DATABASE_FAULTS))
                case "master-secret-server-unavailable":
                    lacking = int(operation.why.removeprefix("version ").split()[0])
                    excused = not any(lacking in note["held"] for note in announced if note["at"] <= operation.end)
                case _:
                    excused = False
            if not excused:
                yield str(operation)
    yield from (str(operation) for operation in seen.site.operations if operation.error)


def encrypting_fails_only_without_a_master(seen: Seen) -> abc.Iterator[str]:
    """A write is refused only when no poll of the last two intervals was answered, or the mapping store was away."""
    for log in seen.servers:
        permitted = [(note["since"], note["at"]) for note in log.of("permitted")]
        for operation in log.operations:
            if operation.action != "write" or not operation.error or operation.end == inf:
                continue
            begin = operation.begin - RECOVERY_SECONDS
            if operation.error == "mapping-store-unavailable":
                if not seen.faults_between(begin, operation.end, *LOCKING_FAULTS):
                    yield str(operation)
            elif operation.error != "master-secret-server-unavailable":
                yield str(operation)
            elif any(
                known <= operation.begin and operation.end < since + PERMISSION_SECONDS for since, known in permitted
            ):
                yield f"although permitted: {operation}"


def nothing_is_encrypted_without_permission(seen: Seen) -> abc.Iterator[str]:
    """A write that began after the last permission had ended, and before the next, is refused."""
    for log in seen.servers:
        permitted = [(note["since"], note["before"]) for note in log.of("permitted")]
        for operation in acknowledged_writes(log):
            if not any(
                since + PERMISSION_SECONDS >= operation.begin and known <= operation.end for since, known in permitted
            ):
                yield str(operation)


def no_write_is_under_a_version_that_was_not_active_any_more(seen: Seen) -> abc.Iterator[str]:
    activated: dict[int, float] = {}
    for sample in seen.samples:
        if (active := active_in(sample)) is not None:
            activated.setdefault(active, sample["at"])
    for log in seen.servers:
        for operation in acknowledged_writes(log):
            newer = [v for v, at in activated.items() if v > operation.version and at < operation.begin]
            if newer:
                yield f"version {newer[0]} was active, and it wrote under {operation.version}: {operation}"


def every_operation_ends(seen: Seen) -> abc.Iterator[str]:
    """Unless its process was killed; and none waits longer than faults last."""
    killed = {f["target"] for f in seen.faults if f["action"] == "kill"}
    for log in seen.servers:
        for operation in log.operations:
            if operation.end == inf and log.process.partition(".")[0] not in killed:
                yield f"never: {operation}"
            elif inf > operation.end > operation.begin + PATIENCE_SECONDS:
                yield f"after {operation.end - operation.begin:.0f} s: {operation}"


# -- what is true, whoever says what -------------------------------------------------------------------------------


def epochs_and_versions_only_grow(seen: Seen) -> abc.Iterator[str]:
    """In the mapping store; one epoch has one holder; one version is active."""
    holders: dict[int, str] = {}
    before: dict[str, Any] | None = None
    for sample in seen.samples:
        if sample["lease"]:
            epoch, holder = sample["lease"]
            if holders.setdefault(epoch, holder) != holder:
                yield f"epoch {epoch} was of {holders[epoch]} and of {holder}"
            if epoch < max(holders):
                yield f"epoch {epoch} after {max(holders)}"
        if list(sample["versions"].values()).count("active") != 1:
            yield f"not just one version is active: {sample['versions']}"
        if before is not None:
            yield from _went_back(before["versions"], sample["versions"], "in the mapping store")
        before = sample


def no_sso_server_is_told_anything_older(seen: Seen) -> abc.Iterator[str]:
    """Epochs and versions only grow in the eyes of each."""
    for log in seen.servers:
        told: dict[str, Any] | None = None
        for note in log.of("announced"):
            if told is not None:
                if note["epoch"] < told["epoch"]:
                    yield f"{log.process} was told of epoch {note['epoch']} after {told['epoch']}"
                yield from _went_back(told["versions"], note["versions"], f"as {log.process} was told")
            told = note


def _went_back(before: abc.Mapping[str, str], after: abc.Mapping[str, str], where: str) -> abc.Iterator[str]:
    for version, state in before.items():
        now = after.get(version, "destroyed")
        if ORDER.index(now) < ORDER.index(state):
            yield f"version {version} was {state} and is {now} {where}"


def no_row_comes_under_a_version_that_is_not_active(seen: Seen) -> abc.Iterator[str]:
    before: dict[str, Any] | None = None
    for sample in seen.samples:
        for version, rows in sample["rows"].items():
            was, had = (before["versions"].get(version), before["rows"].get(version, 0)) if before else (None, 0)
            if was in ("retiring", "destroyed") and rows > had:
                yield f"version {version} was {was}, and its rows became {rows} of {had} at {sample['at']:.3f}"
            if sample["versions"].get(version) == "destroyed" and rows:
                yield f"version {version} is destroyed, and {rows} rows are under it at {sample['at']:.3f}"
        before = sample


def a_version_is_active_only_when_all_who_may_encrypt_hold_it(seen: Seen) -> abc.Iterator[str]:
    activations: dict[int, float] = {}
    for sample in seen.samples:
        if (active := active_in(sample)) is not None:
            activations.setdefault(active, sample["at"])
    for version, at in activations.items():
        for log in seen.servers:
            held = any(version in note["held"] for note in log.of("announced") if note["at"] <= at)
            permitted = [n for n in log.of("permitted") if n["at"] <= at < n["since"] + PERMISSION_SECONDS]
            gone = any(note["at"] <= at for note in log.of("ended"))
            if permitted and not held and not gone and not _was_killed(seen, log, at):
                yield f"version {version} became active by {at:.3f}, and {log.process} did not hold it"


def _was_killed(seen: Seen, log: Log, at: float) -> bool:
    name = log.process.partition(".")[0]
    return any(f["target"] == name and f["action"] in ("kill", "stop") and f["begin"] <= at for f in seen.faults) and (
        max((note["at"] for note in log.notes), default=0.0) < at
    )


def all_recovers(seen: Seen) -> abc.Iterator[str]:
    """When the plan has ended: a master is there, every SSO server encrypts, the rotation finishes."""
    for note in seen.site.of("unsettled"):
        yield f"{note['what']}, the system did not settle"
    for note in seen.site.of("hangs"):
        yield f"{note['name']} did not end on SIGTERM"
    last = seen.samples[-1]
    if set(last["rows"]) - {str(active_in(last))}:
        yield f"rows are left under old versions: {last['rows']}, {last['versions']}"


def active_in(sample: abc.Mapping[str, Any]) -> int | None:
    return next((int(version) for version, state in sample["versions"].items() if state == "active"), None)


def acknowledged_writes(log: Log) -> abc.Iterator[Operation]:
    return (o for o in log.operations if o.action == "write" and not o.error and o.end < inf)


RULES: tuple[abc.Callable[[Seen], abc.Iterator[str]], ...] = (
    every_credential_is_a_register,
    no_look_up_fails,
    encrypting_fails_only_without_a_master,
    nothing_is_encrypted_without_permission,
    no_write_is_under_a_version_that_was_not_active_any_more,
    every_operation_ends,
    epochs_and_versions_only_grow,
    no_sso_server_is_told_anything_older,
    no_row_comes_under_a_version_that_is_not_active,
    a_version_is_active_only_when_all_who_may_encrypt_hold_it,
    all_recovers,
)
