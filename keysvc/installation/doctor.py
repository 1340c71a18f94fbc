"""What `keysvc doctor` looks at. Reads only; touches the key store on the master secret server alone."""

from __future__ import annotations

import contextlib
from collections import abc
from dataclasses import dataclass
from datetime import timedelta

from keysvc.crypto import certificates
from keysvc.errors import KeysvcError
from keysvc.installation import assembly
from keysvc.installation.config import Config
from keysvc.master.enrolment import AUTHORITY_ENDING
from keysvc.master.status import backup_warnings
from keysvc.model import Role, utc_now
from keysvc.plugin.location import Location
from keysvc.web.master.administration import Here
from keysvc.web.master.messages import FindingEntry, PluginEntry
from keysvc.web.tls.identity_files import CERTIFICATE

SOON = timedelta(days=30)
_RESTORE = "keysvc secret restore FILE, or keysvc secret recover --from URL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    hint: str = ""


def examine(config: Config) -> list[Finding]:
    """Every check, whether or not an earlier one failed."""
    found = [Finding(f"configuration {config.path}", ok=True)]
    checks = (_plugins, _files, _identity, _mapping_store, _backup, _key_store, _authorizer, _notifiers, _master)
    for check in checks:
        try:
            found.extend(check(config))
        except KeysvcError as error:
            found.append(Finding(str(error), ok=False, hint=error.hint))
    return found


def this_machine(config: Config) -> Here:
    """What the master secret server of this machine tells SSO administrators of it."""

    def found() -> abc.Iterator[PluginEntry]:
        reports = assembly.plugins(config.plugins).reports
        return (
            PluginEntry(r.name, r.distribution, r.version, tuple(r.kinds), tuple(r.schemes), r.problem, r.hint)
            for r in reports
        )

    return Here(found, lambda: (FindingEntry(each.what, each.ok, each.hint) for each in examine(config)))


def _plugins(config: Config) -> abc.Iterator[Finding]:
    for report in assembly.plugins(config.plugins).reports:
        what = f"plugin {report.name} {report.version}"
        yield Finding(f"{what}: {report.problem}" if report.problem else what, not report.problem, report.hint)


def _files(config: Config) -> abc.Iterator[Finding]:
    unsafe = list(assembly.check_files(config, root_reads=True))
    yield from (Finding(each.problem, ok=False, hint=each.hint) for each in unsafe)
    if not unsafe:
        yield Finding("no other account can write what this machine trusts, or read its secrets", ok=True)


def _identity(config: Config) -> abc.Iterator[Finding]:
    files = assembly.identity(config)
    peer = files.peer()
    ends = certificates.not_after((files.directory / CERTIFICATE).read_bytes())
    what = f"certificate of {peer.name} ({peer.role.value}), good until {ends:%Y-%m-%d}"
    again = "it renews itself while it is used; where it cannot: keysvc join --again, with a new token"
    problem = peer.problem_with_dates(utc_now())
    yield Finding(problem or what, not problem and ends > utc_now() + SOON, certificates.READMIT if problem else again)
    yield from _authority(files.authority())


def _authority(certificate: bytes) -> abc.Iterator[Finding]:
    ends = certificates.not_after(certificate)
    hint = "plan its replacement: every certificate ends with it"
    yield Finding(f"certificate authority, good until {ends:%Y-%m-%d}", ends > utc_now() + AUTHORITY_ENDING, hint)


def _mapping_store(config: Config) -> abc.Iterator[Finding]:
    store = assembly.open_mapping_store(config)
    try:
        system = store.system()
        rows = sum(store.rows_by_version().values())
        ours = system is not None and system.system_id == config.system_id
        yield Finding(f"mapping store {store.info().url} with {rows} credentials", ours, "it is of another system")
    finally:
        store.close()


def _backup(config: Config) -> abc.Iterator[Finding]:
    store = assembly.open_mapping_store(config)
    try:
        active = store.versions().active
        warnings = backup_warnings(store.backup(), active.version if active else None)
        yield from (Finding(warning, ok=False, hint="and rehearse it") for warning in warnings)
        if not warnings:
            yield Finding("a backup holds the active version", ok=True)
    finally:
        store.close()


def _key_store(config: Config) -> abc.Iterator[Finding]:
    if config.key_store is None:
        return
    if config.resealed_from is not None:
        hint = f"keysvc secret reseal --to '{Location.parse(config.key_store)}'"
        yield Finding(f"a reseal has not emptied {Location.parse(config.resealed_from)}", ok=False, hint=hint)
    with (
        contextlib.closing(assembly.open_mapping_store(config)) as store,
        contextlib.closing(assembly.open_protectors(config, assembly.no_prompt)) as protectors,
    ):
        for protector in protectors.prove(store.versions()):
            for version in protector.opens:
                yield Finding(f"version {version} opens from {protector.url}", ok=True)
            for version in protector.with_shares:
                yield Finding(f"version {version} is in {protector.url}; only its shares can prove it", ok=True)
            if protector.problem:
                hint = f"keysvc secret protect '{protector.url}'" if protector.recovery else protector.hint or _RESTORE
                yield Finding(f"{protector.url}: {protector.problem}", ok=False, hint=hint)


def _authorizer(config: Config) -> abc.Iterator[Finding]:
    authorizer = assembly.open_authorizer(config)
    if authorizer is not None and config.authorizer is not None:
        name = assembly.identity(config).peer().name
        with contextlib.closing(authorizer):
            groups = authorizer.groups_of(name)
        yield Finding(
            f"authorizer {Location.parse(config.authorizer)} answers: {name} is in {len(groups)} groups", ok=True
        )


def _notifiers(config: Config) -> abc.Iterator[Finding]:
    """Open each, which sends nothing: an unknown scheme, a missing plugin, token or file is found here."""
    for each in config.notifier_settings:
        try:
            assembly.open_notifier(config, each.url).close()
            yield Finding(f"notifier {each.shown} can be opened", ok=True)
        except KeysvcError as error:
            yield Finding(f"notifier {each.shown} cannot be opened: {error}", ok=False, hint=error.hint)


def _master(config: Config) -> abc.Iterator[Finding]:
    if assembly.identity(config).peer().role not in (Role.ADMINISTRATOR, Role.SERVER):
        return
    client = assembly.master_client(config)
    try:
        status = client.status()
        yield Finding(f"master secret server {status.master_url or config.masters[0]}, epoch {status.epoch}", ok=True)
        yield from (Finding(problem, ok=False, hint="see the log of keysvc serve") for problem in status.problems)
    finally:
        client.close()
