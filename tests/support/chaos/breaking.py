"""Guards of the product that a process of the harness can do without, to see that the checker notices; and places
where it can be made to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import abc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keysvc.master import servers
from keysvc.model import VersionState
from keysvc.plugin import changes
from keysvc.sso import version_cache
from keysvc.stores import sql, sql_changes

BREAK, STOP = "CHAOS_BREAK", "CHAOS_STOP"


def apply() -> None:
    """As the environment says: `CHAOS_BREAK` is the name of a guard; `CHAOS_STOP` a directory of `Meetings`."""
    if guard := os.environ.get(BREAK):
        GUARDS[guard]()
    if folder := os.environ.get(STOP):
        Meetings(Path(folder)).watch_commits()


@dataclass(frozen=True, slots=True)
class Meetings:
    """Places before a commit where processes meet: a file named after a place, which says `stop` or `hold`, is for the
    first that comes there. `stop` stops its process; `hold` only its thread, until `release`."""

    folder: Path

    def arrange(self, place: str, how: str) -> None:
        (self.folder / place).write_text(how)

    def reached(self, place: str) -> bool:
        return (self.folder / f"{place}.reached").exists()

    def release(self, place: str) -> None:
        (self.folder / f"{place}.released").touch()

    def watch_commits(self) -> None:
        """One transaction at a time in this process, so that it holds no lock of the database when it is stopped."""
        commit, transaction = sql.SQLMappingStore.commit, sql.SQLMappingStore._transaction
        alone = threading.RLock()

        def meeting(store: Any, all_changes: abc.Sequence[changes.Change], guard: Any) -> None:
            for place in _places(all_changes):
                self._meet(place, alone)
            commit(store, all_changes, guard)

        def one_at_a_time(store: Any, work: Any) -> Any:
            with alone:
                return transaction(store, work)

        sql.SQLMappingStore.commit = meeting  # type: ignore[method-assign]
        sql.SQLMappingStore._transaction = one_at_a_time  # type: ignore[method-assign]

    def _meet(self, place: str, alone: threading.RLock) -> None:
        try:
            how = (self.folder / place).read_text()
            (self.folder / place).rename(self.folder / f"{place}.reached")
        except FileNotFoundError:
            return
        if how == "stop":
            with alone:
                os.kill(os.getpid(), signal.SIGSTOP)
                time.sleep(0.1)  # a thread runs on for a moment, and it must not begin its transaction
        while how == "hold" and not (self.folder / f"{place}.released").exists():
            time.sleep(0.01)


def _places(all_changes: abc.Sequence[changes.Change]) -> abc.Iterator[str]:
    for change in all_changes:
        match change:
            case changes.Reencrypt():
                yield "reencrypt"
            case changes.PutCredential():
                yield "write"
            case changes.PutVersion(record=record) if record.state is VersionState.ACTIVE:
                yield "activate"


# -- guards --------------------------------------------------------------------------------------------------------


def without_the_epoch() -> None:
    """A master whose lease has passed on may still write, and believes that it has it."""
    check = sql.SQLMappingStore._check_guard

    def unchecked(self: Any, row: Any, guard: Any) -> None:
        check(self, row, type(guard)(active_version=guard.active_version))

    sql.SQLMappingStore._check_guard = unchecked  # type: ignore[method-assign]


def without_the_active_version() -> None:
    """A credential is written under whatever version the SSO server thinks is active."""
    check = sql.SQLMappingStore._check_guard

    def unchecked(self: Any, row: Any, guard: Any) -> None:
        check(self, row, type(guard)(epoch=guard.epoch))

    sql.SQLMappingStore._check_guard = unchecked  # type: ignore[method-assign]


def without_compare_and_swap() -> None:
    """Re-encryption overwrites what a user stored meanwhile."""

    def blind(connection: Any, batch: changes.Reencrypt) -> None:
        table = sql_changes.schema.credentials
        for row in batch.credentials:
            at = (table.c.application == row.application) & (table.c.user == row.user)
            new = {"version": row.version, "ciphertext": row.ciphertext, "revision": table.c.revision + 1}
            connection.execute(sql_changes.update(table).where(at).values(new))

    store = sql.SQLMappingStore
    store.changes = {**store.changes, changes.Reencrypt: blind}  # type: ignore[misc]


def activating_early() -> None:
    """A version becomes active before every live SSO server holds it."""
    servers.LiveServers.waiting_for = lambda self, version, overdue=False: ()  # type: ignore[method-assign]


def permission_without_end() -> None:
    """One good poll permits to encrypt for ever."""
    version_cache.VersionCache.permitted = property(lambda self: self._permitted_until > 0)  # type: ignore[assignment]


GUARDS: dict[str, abc.Callable[[], None]] = {
    function.__name__: function
    for function in (
        without_the_epoch,
        without_the_active_version,
        without_compare_and_swap,
        activating_early,
        permission_without_end,
    )
}
