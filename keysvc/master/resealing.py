"""Copying versions from one key store into another, and emptying the one that is left.

Nothing here announces or changes a version: it is the same secret, sealed under another root. Each function can be
repeated from whatever a death leaves.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import abc

from keysvc.errors import ConfigurationError, KeyStoreError, NotConfigured, SealBroken, SharesNeeded, VersionNotFound
from keysvc.master.term import Term, hold
from keysvc.model import MASTER_SECRET_BYTES, MasterSecret, SecretBytes, VersionRecord, Versions, utc_now
from keysvc.plugin.interfaces import KeyStore, MappingStore

PROBE = 2**32 - 1
_ELSEWHERE = "one place has one root: name another directory, or another object of the token"


@contextlib.contextmanager
def alone(store: MappingStore) -> abc.Iterator[Term]:
    """Hold the lease, so that meanwhile no master secret server makes or destroys a version. Raises LeaseHeld."""
    if store.system() is None:
        raise NotConfigured(f"the mapping store {store.info().url} holds no system")
    with hold(store) as term:
        yield term


def read(versions: Versions, *sources: KeyStore) -> list[MasterSecret]:
    """Every live version from the first of the key stores that has it, compared with what the system knows of it; then
    one that was sealed and not announced yet. Raises KeyStoreError when any cannot be had."""
    held = [(source, frozenset(source.versions())) for source in sources]
    found = []
    for record in versions.live:
        source = next((source for source, versions in held if record.version in versions), sources[0])
        found.append(_compared(record, source))
    return found + _unannounced(versions, sources[0])


def read_what_opens(versions: Versions, source: KeyStore) -> tuple[list[MasterSecret], tuple[int, ...]]:
    """As `read`, but what a recovery key store does not give is passed over, and named. Raises KeyStoreError when it
    gives nothing."""
    found, problems = [], {}
    for record in versions.live:
        try:
            found.append(_compared(record, source))
        except (VersionNotFound, SealBroken) as error:
            problems[record.version] = error
    if problems and not found:
        raise next(iter(problems.values()))
    return found + _unannounced(versions, source), tuple(problems)


def _compared(record: VersionRecord, source: KeyStore) -> MasterSecret:
    secret = source.unseal(record.version)
    if not record.describes(secret):
        raise SealBroken(f"version {record.version} in {source.info().url} is not the one that this system uses")
    return secret


def _unannounced(versions: Versions, source: KeyStore) -> list[MasterSecret]:
    following = versions.newest + 1
    return [source.unseal(following)] if following in source.versions() else []


def seal(wanted: abc.Sequence[MasterSecret], target: KeyStore, term: Term) -> None:
    """Seal all of them there. Raises KeyStoreError, MasterSecretServerUnavailable."""
    for secret in wanted:
        term.require()
        target.seal(secret)


def prove(wanted: abc.Sequence[MasterSecret], target: KeyStore, term: Term) -> None:
    """Unseal all of them there, after a restart of it, and compare. Raises KeyStoreError."""
    for secret in wanted:
        term.require()
        if target.unseal(secret.version) != secret:
            raise SealBroken(
                f"version {secret.version} reads back from {target.info().url} as another secret",
                hint=SealBroken.NOT_KEPT,
            )


def refuse_same_place(source: KeyStore, target: KeyStore) -> None:
    """Raises ConfigurationError when both URLs lead to one place, whatever their spelling: emptying the one would empty
    the other. Found out by sealing there a version of a number that no rotation reaches."""
    for version in target.versions():
        _require_one_root(version, target)
    target.destroy(PROBE)
    target.seal(MasterSecret(PROBE, utc_now(), SecretBytes(secrets.token_bytes(MASTER_SECRET_BYTES))))
    try:
        if PROBE in source.versions():
            raise ConfigurationError(f"{target.info().url} is the same place as {source.info().url}", hint=_ELSEWHERE)
    finally:
        target.destroy(PROBE)


def _require_one_root(version: int, target: KeyStore) -> None:
    try:
        target.unseal(version)
    except SharesNeeded:
        return
    except KeyStoreError as error:
        raise ConfigurationError(
            f"{target.info().url} holds version {version} already, which does not open there: {error}", hint=_ELSEWHERE
        ) from None


def empty(versions: Versions, left: KeyStore, kept: KeyStore, term: Term) -> None:
    """Destroy in `left` each version that `kept` opens to the same secret, and what the system has destroyed.

    Raises SealBroken before it destroys anything when `kept` lacks a version that `left` has.
    """
    present = left.versions()
    for version in present:
        if version not in versions.destroyed and not _same(version, left, kept):
            raise SealBroken(
                f"version {version} in {left.info().url} is not in {kept.info().url}: nothing was removed",
                hint="keep both: run the same command with --keep",
            )
    for version in present:
        term.renew()
        left.destroy(version)


def _same(version: int, left: KeyStore, kept: KeyStore) -> bool:
    try:
        secret = kept.unseal(version)
    except KeyStoreError:
        return False
    return left.unseal(version) == secret
