"""Several protectors of the master secret: the key store that the master secret server works with, and recovery key
stores, each of which holds every version under a root of its own."""

from __future__ import annotations

import contextlib
from collections import abc
from dataclasses import dataclass
from datetime import datetime

from keysvc.errors import KeyStoreUnavailable, KeysvcError, SealBroken, SharesNeeded
from keysvc.model import MasterSecret, Versions, utc_now
from keysvc.plugin.interfaces import KeyStore, KeyStoreInfo


@dataclass(frozen=True, slots=True)
class Recovery:
    """A recovery key store. It is opened for each use, for it may be away most of the time. `url` may be shown."""

    url: str
    open: abc.Callable[[], KeyStore]


@dataclass(frozen=True, slots=True)
class ProtectorStatus:
    """What one protector could do at `proved_at`: it opened the versions `opens`, each compared with what the system
    knows of it. It holds `with_shares`, which only the holders of shares can prove. `problem` says why it did not open
    the others, empty when there are none; `hint` what mends a key store that could not be asked."""

    url: str
    root: str
    recovery: bool
    opens: tuple[int, ...]
    problem: str
    proved_at: datetime
    with_shares: tuple[int, ...] = ()
    hint: str = ""


class Protectors:
    """A key store made of all protectors. What is sealed is sealed in every one, or it raises: a version that a
    recovery key store lacks is never announced. Versions are unsealed from the first alone; recovering from another is
    a command of its own."""

    def __init__(self, primary: KeyStore, recovery: abc.Sequence[Recovery] = ()) -> None:
        self._primary = primary
        self._recovery = recovery

    def info(self) -> KeyStoreInfo:
        """Of the first."""
        return self._primary.info()

    def versions(self) -> abc.Sequence[int]:
        """Of the first."""
        return self._primary.versions()

    def seal(self, secret: MasterSecret) -> None:
        """Into every protector, read back from each. The same again completes what an earlier call did not reach."""
        self._primary.seal(secret)
        for recovery in self._recovery:
            try:
                self._refuse_empty(recovery, secret.version)
                seal_and_compare(secret, recovery.open)
            except KeysvcError as error:
                raise KeyStoreUnavailable(
                    f"the recovery key store {recovery.url} did not take version {secret.version}: {error}",
                    hint="bring it back and repeat; or take it out of recovery_key_stores, and protect again later",
                ) from None

    def _refuse_empty(self, recovery: Recovery, version: int) -> None:
        """A directory whose disk is not mounted looks like a new key store, and would become one."""
        with contextlib.closing(recovery.open()) as store:
            if not store.versions() and set(self._primary.versions()) - {version}:
                raise KeyStoreUnavailable("it is empty: is its disk mounted?")

    def unseal(self, version: int) -> MasterSecret:
        """From the first."""
        return self._primary.unseal(version)

    def random(self, count: int) -> bytes:
        """Of the first."""
        return self._primary.random(count)

    def destroy(self, version: int) -> None:
        """In every protector. Raises KeyStoreUnavailable at the end for one that was away and still holds it."""
        self._primary.destroy(version)
        away = self.finish_destroying([version])
        if away:
            raise KeyStoreUnavailable(
                f"version {version} is destroyed, but these were away and may still hold it: {', '.join(away)}",
                hint="it is removed there by itself when `keysvc serve` starts with them, or within a day",
            )

    def close(self) -> None:
        """Repeatable."""
        self._primary.close()

    def finish_destroying(self, versions: abc.Iterable[int]) -> list[str]:
        """Destroy these in the recovery key stores. Returns the URLs of those that could not."""
        away, versions = [], list(versions)
        for recovery in self._recovery if versions else ():
            try:
                with contextlib.closing(recovery.open()) as store:
                    for version in set(versions).intersection(store.versions()):
                        store.destroy(version)
            except KeysvcError:
                away.append(recovery.url)
        return away

    def prove(self, versions: Versions) -> tuple[ProtectorStatus, ...]:
        """Open every live version in every protector, now. Changes nothing."""
        live = versions.live
        first = _proved(self._primary, live, recovery=False)
        return (first, *(_proved_recovery(recovery, live) for recovery in self._recovery))


def seal_and_compare(secret: MasterSecret, open_store: abc.Callable[[], KeyStore]) -> None:
    """Seal a version; then open the key store anew and compare, unless that takes the holders of shares: such a key
    store compares what it wrote. Raises what these raise, and SealBroken."""
    with contextlib.closing(open_store()) as store:
        store.seal(secret)
    with contextlib.closing(open_store()) as store, contextlib.suppress(SharesNeeded):
        if store.unseal(secret.version) != secret:
            raise SealBroken(f"version {secret.version} reads back as another secret", hint=SealBroken.NOT_KEPT)


def _proved_recovery(recovery: Recovery, live: Versions) -> ProtectorStatus:
    try:
        with contextlib.closing(recovery.open()) as store:
            return _proved(store, live, recovery=True)
    except KeysvcError as error:
        return ProtectorStatus(recovery.url, "", recovery=True, opens=(), problem=str(error), proved_at=utc_now())


def _proved(store: KeyStore, live: Versions, *, recovery: bool) -> ProtectorStatus:
    opens: list[int] = []
    with_shares: list[int] = []
    problem = hint = ""
    for record in live:
        try:
            if not record.describes(store.unseal(record.version)):
                raise SealBroken(f"version {record.version} is not the one that this system uses")
            opens.append(record.version)
        except SharesNeeded:
            with_shares.append(record.version)
        except KeysvcError as error:
            problem = problem or str(error)
            hint = hint or (error.hint if isinstance(error, KeyStoreUnavailable) else "")
    info = store.info()
    return ProtectorStatus(info.url, info.root, recovery, tuple(opens), problem, utc_now(), tuple(with_shares), hint)
