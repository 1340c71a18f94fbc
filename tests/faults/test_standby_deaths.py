"""SIGKILL of a standby at every line at which it takes versions over: the next one is ready, with the active master's
very versions and no other. `make deaths` kills at every line."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections import abc
from pathlib import Path

from master_deaths import POLL_INTERVAL, Lives, every_place, is_complete, kill_at, table
from systems import SYSTEM_ID, InProcessMaster

from keysvc.errors import MasterSecretServerUnavailable
from keysvc.master import secrets, standby
from keysvc.master.service import MasterSecretServer
from keysvc.master.standby import Standby
from keysvc.model import Announcement, BackupRecord, Role, SecretBytes, VersionId, utc_now
from keysvc.plugin import sealed
from keysvc.stores import file

WHOLE = os.environ.get("KEYSVC_ALL_DEATHS") == "1"
MODULES = (standby, secrets, sealed, file)


class Way(InProcessMaster):
    """A standby's, to the master of its own process."""

    def poll(
        self,
        versions_held: tuple[VersionId, ...],
        etag: str | None,
        *,
        wait: float = 0.0,
        url: str | None = None,
        problem: str | None = None,
    ) -> Announcement | None:
        master = self._master()
        held = master.announced().numbers_of(versions_held)
        found = master.poll(self.name, str(os.getpid()), held, role=Role.MASTER, url=url or "", problem=problem or "")
        return None if found.etag == etag else found

    def fetch_authority_key(self) -> SecretBytes:
        raise AssertionError("it is here")


class ItsAuthority:
    def is_here(self) -> bool:
        return True

    def keep(self, key: SecretBytes) -> None:
        raise AssertionError("it is here")


class Followed(Lives):
    """With a standby in the process of each master, which takes over what the master does, and dies with it."""

    def live(self) -> None:
        """A rotation, a backup and a destruction."""
        with self.master() as master, contextlib.closing(self.system.store()) as store:
            self.follow(lambda standby: not standby.problem)
            old = master.status().active_version
            new = master.rotate("administrator").version
            self.follow(lambda _: master.status().active_version == new and is_complete(store))
            master.record_backup(BackupRecord(utc_now(), (old, new)), "administrator")
            master.destroy(old, "administrator", force=False)
            self.follow(lambda standby: standby._key_store.versions() == self.alive(master))
            self.wait_until_settled(master)

    def take_over(self) -> None:
        super().take_over()
        with self.master() as master:
            live = self.alive(master)
            standby = self.follow(lambda each: each._key_store.versions() == live and not each.problem)
            for version in live:
                assert standby._key_store.unseal(version) == self.system.key_store().unseal(version)
            assert standby.why_not_ready() == ""

    def alive(self, master: MasterSecretServer) -> list[int]:
        """The versions that are not destroyed; one that a dead master would have destroyed stays."""
        return [record.version for record in master.status().versions if record.state != "destroyed"]

    def follow(self, until: abc.Callable[[Standby], bool]) -> Standby:
        """Poll and take over, as a standby's thread does."""
        following, deadline = self._standby(), time.monotonic() + 60
        while True:
            with contextlib.suppress(MasterSecretServerUnavailable):  # a version becomes active at this moment
                following._follow_once("https://active:7443")
                if until(following):
                    return following
            assert time.monotonic() < deadline, following.problem
            time.sleep(0.01)

    def _standby(self) -> Standby:
        return Standby(
            self.system.store(),
            self.system.plugins.key_stores.open(f"file://{self.system.folder}/standby", None, SYSTEM_ID),
            ItsAuthority(),
            lambda _url: Way(self.system, "standby"),
            name="standby",
            url="https://standby:7443",
            poll_interval=POLL_INTERVAL,
            lost_sight=lambda: None,
        )


def test_a_standby_can_die_at_every_line_and_the_next_one_is_ready(tmp_path: Path) -> None:
    numbers = itertools.count()

    def new() -> Followed:
        return Followed.begun(tmp_path / str(next(numbers)))

    chosen = every_place(new(), MODULES, sample=None if WHOLE else 12)
    tolls = kill_at(chosen, new, MODULES)
    print(f"\nSIGKILL of a standby, and the master beside it\n{table(tolls)}")
    assert sum(toll.deaths for toll in tolls.values()) > len(chosen) / 2
