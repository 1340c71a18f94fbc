"""What `keysvc secret reseal`, `protect` and `recover` do: put the versions under other roots, and the configuration in
step with it.

At every moment the configuration names a key store that holds every version. Whatever a death leaves, the system can be
served, and the same command goes on.
"""

from __future__ import annotations

import contextlib
from collections import abc
from dataclasses import dataclass
from pathlib import Path

from keysvc.errors import ConfigurationError, KeyStoreError, KeyStoreUnavailable
from keysvc.installation import assembly, config as configuration
from keysvc.installation.config import Config
from keysvc.master import resealing
from keysvc.master.events import EventKind, told
from keysvc.master.protectors import seal_and_compare
from keysvc.master.spot_check import check_sample
from keysvc.master.term import Term
from keysvc.model import MasterSecret
from keysvc.plugin.interfaces import KeyStore, MappingStore, Prompt
from keysvc.plugin.location import Location

Prompts = abc.Callable[[str], Prompt]
"""How the key store of a URL asks for what it needs."""


@dataclass(frozen=True, slots=True)
class MaintenanceSession:
    """The one place where key stores change: the lease is held, and the configuration was read under it."""

    config: Config
    store: MappingStore
    term: Term
    prompts: Prompts

    def open(self, url: str) -> KeyStore:
        """The key store of a URL."""
        return assembly.open_key_store_at(self.config, url, self.prompts(url))

    def prove(self, wanted: abc.Sequence[MasterSecret], url: str) -> None:
        """Open a key store anew, and compare all that was sealed there."""
        with contextlib.closing(self.open(url)) as again:
            resealing.prove(wanted, again, self.term)

    def note(self, actor: str, kind: EventKind, subject: str) -> None:
        """Audit and tell; Fenced when another process has become the master meanwhile."""
        self.term.commit(*told(actor, kind, subject))

    def change(self, **settings: str | tuple[str, ...] | None) -> None:
        """Rewrite settings, durably."""
        configuration.change(Path(self.config.path), settings)


@contextlib.contextmanager
def at_the_bench(path: Path, prompts: Prompts) -> abc.Iterator[MaintenanceSession]:
    """Raises LeaseHeld while a master secret server runs; ConfigurationError on any other machine, and where the
    configuration cannot be changed."""
    config = configuration.load(path)
    with contextlib.closing(assembly.open_mapping_store(config)) as store, resealing.alone(store) as term:
        config = configuration.load(path)
        if config.key_store is None:
            raise ConfigurationError(
                f"{config.path} names no key_store: this is not the master secret server's",
                hint=configuration.OF_A_MASTER,
            )
        configuration.require_changeable(path)
        yield MaintenanceSession(config, store, term, prompts)


def shown(url: str) -> str:
    """A URL without its secrets."""
    return str(Location.parse(url))


def reseal(path: Path, to: str, actor: str, prompts: Prompts, *, keep: bool) -> tuple[int, ...]:
    """Move every version into the key store `to`, which becomes this configuration's. Returns which.

    All are sealed there and read back before the configuration names it, and only then removed from the old one, unless
    `keep`. Repeatable: a run that finds itself in the new key store empties the old one. Raises KeyStoreError,
    ConfigurationError, LeaseHeld, Fenced.
    """
    with at_the_bench(path, prompts) as bench:
        current, leaving = bench.config.key_store or "", bench.config.resealed_from
        if current == to:
            return _finish(bench, to, leaving, keep=keep)
        if to in bench.config.recovery_key_stores:
            raise ConfigurationError(f"{shown(to)} is a recovery key store already", hint="name another place")
        if leaving is not None:
            raise ConfigurationError(
                f"an earlier reseal has not emptied {shown(leaving)} yet",
                hint=f"finish it first: keysvc secret reseal --to '{shown(current)}'",
            )
        moved = _move(bench, current, to)
        bench.note(actor, EventKind.SECRET_RESEALED, f"versions {','.join(map(str, moved))}")
        bench.change(key_store=to, resealed_from=None if keep else current)
        if not keep:
            _leave(bench, to, current)
        return moved


def protect(path: Path, url: str, actor: str, prompts: Prompts) -> tuple[int, ...]:
    """Seal every version into a recovery key store too, and name it in the configuration. Returns which.

    Nobody is asked for its secret: it must take new versions with nobody there. Repeatable; for one that is named
    already it completes what that lacks. Raises as `reseal`.
    """
    with at_the_bench(path, prompts) as bench:
        recovery = assembly.recovery(bench.config, url)
        with contextlib.closing(bench.open(bench.config.key_store or "")) as primary:
            wanted = resealing.read(bench.store.versions(), primary)
            with contextlib.closing(recovery.open()) as new:
                resealing.refuse_same_place(primary, new)
        for secret in wanted:
            bench.term.require()
            seal_and_compare(secret, recovery.open)
        versions = tuple(secret.version for secret in wanted)
        named = bench.config.recovery_key_stores
        if url not in named:
            bench.note(actor, EventKind.SECRET_PROTECTED, f"versions {','.join(map(str, versions))}")
            bench.change(recovery_key_stores=(*named, url))
        return versions


@dataclass(frozen=True, slots=True)
class Recovered:
    """`versions` are sealed in the key store again; the recovery key store did not give `missing`; `checked` of today's
    credentials were decrypted with what it gave."""

    versions: tuple[int, ...]
    missing: tuple[int, ...]
    checked: int


def recover(path: Path, source: str, to: str | None, actor: str, prompts: Prompts) -> Recovered:
    """Bring the system up from a recovery key store alone: seal what it gives into a fresh key store, at `to` or where
    the lost one was, read it back, decrypt a sample of today's credentials, and name it in the configuration.

    Repeatable. Raises as `reseal`, and CannotDecrypt.
    """
    with at_the_bench(path, prompts) as bench:
        fresh = to or bench.config.key_store or ""
        if fresh in bench.config.recovery_key_stores:
            raise ConfigurationError(f"{shown(fresh)} is a recovery key store", hint="name a fresh place with --to URL")
        records = bench.store.versions()
        with contextlib.closing(bench.open(source)) as given:
            wanted, missing = resealing.read_what_opens(records, given)
            checked = check_sample(bench.store, bench.config.system_id, wanted)
            _seal_afresh(bench, wanted, given, fresh)
        versions = tuple(secret.version for secret in wanted)
        bench.note(actor, EventKind.SECRET_RECOVERED, f"versions {','.join(map(str, versions))}")
        if fresh != bench.config.key_store:
            bench.change(key_store=fresh)
        return Recovered(versions, missing, checked)


def _seal_afresh(bench: MaintenanceSession, wanted: abc.Sequence[MasterSecret], given: KeyStore, fresh: str) -> None:
    try:
        with contextlib.closing(bench.open(fresh)) as store:
            resealing.refuse_same_place(given, store)
            resealing.seal(wanted, store, bench.term)
        bench.prove(wanted, fresh)
    except (ConfigurationError, KeyStoreError) as error:
        raise KeyStoreUnavailable(
            f"{shown(fresh)} cannot be the key store again: {error}", hint="name a fresh place with --to URL"
        ) from None


def _move(bench: MaintenanceSession, current: str, to: str) -> tuple[int, ...]:
    with contextlib.closing(bench.open(current)) as old:
        wanted = resealing.read(bench.store.versions(), old)
        with contextlib.closing(bench.open(to)) as new:
            resealing.refuse_same_place(old, new)
            resealing.seal(wanted, new, bench.term)
    bench.prove(wanted, to)
    return tuple(secret.version for secret in wanted)


def _finish(bench: MaintenanceSession, here: str, leaving: str | None, *, keep: bool) -> tuple[int, ...]:
    """Prove that the key store holds everything; empty the one that an earlier run has left."""
    with contextlib.ExitStack() as opened:
        stores = [opened.enter_context(contextlib.closing(bench.open(url))) for url in (here, leaving) if url]
        wanted = resealing.read(bench.store.versions(), *stores)
        resealing.seal(wanted, stores[0], bench.term)
    bench.prove(wanted, here)
    if leaving is not None and keep:
        bench.change(resealed_from=None)
    elif leaving is not None:
        _leave(bench, here, leaving)
    return tuple(secret.version for secret in wanted)


def _leave(bench: MaintenanceSession, here: str, left: str) -> None:
    with contextlib.closing(bench.open(left)) as old, contextlib.closing(bench.open(here)) as new:
        resealing.empty(bench.store.versions(), old, new, bench.term)
    bench.change(resealed_from=None)
