"""What `keysvc status` says, read from the data: nothing here rests on a flag that a crash could leave wrong."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keysvc.master.protectors import ProtectorStatus
from keysvc.model import (
    BackupRecord,
    Role,
    RotationSettings,
    Server,
    VersionRecord,
    Versions,
    VersionState,
    permission_length,
    utc_now,
)
from keysvc.plugin.interfaces import MappingStore

NO_BACKUP = "no backup of the master secret exists: if its key store is lost, every credential is lost with it"
OLD_BACKUP = "the newest backup does not hold the active version"
DISABLED = "the system is disabled: look-ups and changes are refused; keysvc system enable"
BACKUP_HINT = "make one now: keysvc secret backup FILE"


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version, how many credentials it encrypts, and the URLs of the protectors that opened it when last asked."""

    version: int
    state: VersionState
    created_at: datetime
    rows: int
    protectors: tuple[str, ...] = ()
    compromised_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One SSO server: the newest version that it holds, and whether it may encrypt now."""

    name: str
    version: int
    last_seen_at: datetime
    can_encrypt: bool


@dataclass(frozen=True, slots=True)
class StandbyStatus:
    """One standby: the newest version that its key store opened, and whether it would take over now; if not, why."""

    name: str
    url: str
    version: int
    last_seen_at: datetime
    ready: bool
    problem: str


@dataclass(frozen=True, slots=True)
class RotationStatus:
    """`phase` is `announced` until every live SSO server holds `to`, and `waiting_for` names those that do not; then
    `re-encrypting`, at most `max_rows_per_second`; `paused` while somebody paused it. `done` of `total` rows.

    `rows_per_second` and `remaining_seconds` are measured by the running master secret server, and None before that.
    """

    from_version: int
    to: int
    phase: str
    done: int
    total: int
    waiting_for: tuple[str, ...] = ()
    paused_at: datetime | None = None
    max_rows_per_second: int | None = None
    rows_per_second: int | None = None
    remaining_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """`state` is unconfigured, ready, rotating or degraded; `problems` and `warnings` say why and what to do."""

    state: str
    system_id: str | None
    active_version: int | None
    versions: tuple[VersionStatus, ...]
    epoch: int
    master: str | None
    servers: tuple[ServerStatus, ...]
    rotation: RotationStatus | None
    backup: BackupRecord | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    protectors: tuple[ProtectorStatus, ...] = ()
    next_rotation_at: datetime | None = None
    master_url: str = ""
    standbys: tuple[StandbyStatus, ...] = ()


def system_status(
    store: MappingStore,
    poll_interval: timedelta,
    problems: abc.Sequence[str] = (),
    protectors: tuple[ProtectorStatus, ...] = (),
    *,
    warnings: abc.Sequence[str] = (),
) -> SystemStatus:
    """Read it. `problems`, `protectors` and `warnings` are what only the running master secret server knows."""
    system = store.system()
    lease = store.lease()
    if system is None:
        return SystemStatus("unconfigured", None, None, (), store.epoch(), None, (), None, None, tuple(problems), ())
    versions, rows, backup = store.versions(), store.rows_by_version(), store.backup()
    active = versions.active.version if versions.active else None
    settings = store.rotation_settings()
    known = store.servers()
    servers = server_statuses([server for server in known if server.role is not Role.MASTER], poll_interval)
    rotation = rotation_status(versions, rows, settings, servers)
    problems = [*problems, *([] if lease else ["no master secret server is running: lookups go on, encrypting stops"])]
    standbys = standby_statuses([s for s in known if s.role is Role.MASTER], versions.live, poll_interval)
    return SystemStatus(
        state="degraded" if problems else "rotating" if rotation else "ready",
        system_id=system.system_id,
        active_version=active,
        versions=tuple(_version_status(record, rows, protectors) for record in versions),
        epoch=store.epoch(),
        master=lease.holder if lease else None,
        servers=servers,
        rotation=rotation,
        backup=backup,
        problems=tuple(problems),
        warnings=(
            *backup_warnings(backup, active),
            *protector_warnings(protectors),
            *rotation_warnings(versions, rows, settings),
            *([] if system.settings.enabled else [DISABLED]),
            *standby_warnings(standbys),
            *warnings,
        ),
        protectors=protectors,
        master_url=lease.url if lease else "",
        standbys=standbys,
    )


def _version_status(
    record: VersionRecord, rows: abc.Mapping[int, int], protectors: abc.Iterable[ProtectorStatus]
) -> VersionStatus:
    opening = tuple(protector.url for protector in protectors if record.version in protector.opens)
    count = rows.get(record.version, 0)
    return VersionStatus(record.version, record.state, record.created_at, count, opening, record.compromised_at)


def protector_warnings(protectors: abc.Iterable[ProtectorStatus]) -> tuple[str, ...]:
    """Which protectors did not open everything."""
    return tuple(
        f"the {'recovery ' if protector.recovery else ''}key store {protector.url} does not open every version: "
        f"{protector.problem}"
        for protector in protectors
        if protector.problem
    )


def standby_warnings(standbys: abc.Iterable[StandbyStatus]) -> tuple[str, ...]:
    """Which standbys would not take over."""
    return tuple(f"the standby {each.name} is not ready: {each.problem}" for each in standbys if not each.ready)


def backup_warnings(backup: BackupRecord | None, active: int | None) -> tuple[str, ...]:
    """What keysvc keeps saying until a backup of the active version exists."""
    if backup is None:
        return (f"{NO_BACKUP}; {BACKUP_HINT}",)
    if active is not None and active not in backup.versions:
        return (f"{OLD_BACKUP} {active}; {BACKUP_HINT}",)
    return ()


def rotation_warnings(versions: Versions, rows: abc.Mapping[int, int], settings: RotationSettings) -> tuple[str, ...]:
    """What an SSO administrator may have forgotten."""
    found = []
    if settings.paused_at is not None:
        found.append(f"rotations are paused since {settings.paused_at:%Y-%m-%d %H:%M} UTC: keysvc secret resume")
    found += [
        f"version {record.version} is compromised, and no credential is under it: it is destroyed when a "
        f"backup holds the active version; {BACKUP_HINT}"
        for record in versions.live
        if record.compromised_at is not None and not rows.get(record.version, 0)
    ]
    return tuple(found)


def rotation_status(
    versions: Versions,
    rows: abc.Mapping[int, int],
    settings: RotationSettings,
    servers: abc.Iterable[ServerStatus],
) -> RotationStatus | None:
    """The rotation under way, derived from the states of the versions and from what encrypts the rows."""
    if versions.active is None:
        return None
    active, announced = versions.active.version, versions.announced.version if versions.announced else None
    older = [version for version, count in rows.items() if count and version != active]
    if announced is None and not older:
        return None
    to = announced or active
    return RotationStatus(
        from_version=active if announced else min(older),
        to=to,
        phase="paused" if settings.paused_at else "announced" if announced else "re-encrypting",
        done=rows.get(to, 0),
        total=sum(rows.values()),
        waiting_for=tuple(s.name for s in servers if announced and s.can_encrypt and s.version < announced),
        paused_at=settings.paused_at,
        max_rows_per_second=settings.max_rows_per_second,
    )


def with_pace(found: SystemStatus, rows_per_second: float | None, every: timedelta | None) -> SystemStatus:
    """With what the running master secret server alone knows of rotations: how fast one is, when the next is due."""
    active = next((v for v in found.versions if v.state is VersionState.ACTIVE), None)
    due = active.created_at + every if active and every else None
    going_on = found.rotation
    if going_on is not None and going_on.phase == "re-encrypting" and rows_per_second:
        left = round((going_on.total - going_on.done) / rows_per_second)
        going_on = replace(going_on, rows_per_second=round(rows_per_second), remaining_seconds=left)
    return replace(found, rotation=going_on, next_rotation_at=due)


def standby_statuses(
    standbys: abc.Sequence[Server], live: Versions, poll_interval: timedelta
) -> tuple[StandbyStatus, ...]:
    """One line a machine: the process that was seen last counts."""
    now = utc_now()
    last = {server.name: server for server in sorted(standbys, key=lambda server: server.seen_at)}
    statuses = []
    for name, server in sorted(last.items()):
        silent = now - server.seen_at > permission_length(poll_interval)
        missing = sorted(live.numbers.difference(server.versions_held))
        problem = (
            "it has fallen silent"
            if silent
            else server.problem or (f"it has not taken version {missing[0]} yet" if missing else "")
        )
        newest = max(server.versions_held, default=0)
        statuses.append(StandbyStatus(name, server.url, newest, server.seen_at, not problem, problem))
    return tuple(statuses)


def server_statuses(servers: abc.Sequence[Server], poll_interval: timedelta) -> tuple[ServerStatus, ...]:
    """One line a name: its processes may be several; the oldest version that one of them is at counts."""
    permission = permission_length(poll_interval)
    by_name: dict[str, list[Server]] = {}
    for server in servers:
        by_name.setdefault(server.name, []).append(server)
    now = utc_now()
    statuses = []
    for name, processes in sorted(by_name.items()):
        last = max(server.seen_at for server in processes)
        live = [s for s in processes if now - s.seen_at <= permission] or [max(processes, key=lambda s: s.seen_at)]
        version = min(max(server.versions_held, default=0) for server in live)
        statuses.append(ServerStatus(name, version, last, version > 0 and now - last <= permission))
    return tuple(statuses)
