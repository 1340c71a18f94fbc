"""A rotation of very many credentials on SQLite, while an application looks credentials up: `make rotation-at-scale`.

Real processes: `keysvc serve` re-encrypts, another process looks up over and over, past its cache, and this one watches
by `/v1/status` as `keysvc status --watch` does. Then the floor does the same to a copy of the same file, under the same
look-ups. Needs Linux: the memory of the master secret server is read from /proc.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import abc
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

from benchmarks.reencryption import Floor
from keysvc.cli.demo.processes import Machine, Process, free_port, wait_until
from keysvc.crypto.credentials import CredentialCipher
from keysvc.errors import KeysvcError
from keysvc.installation import assembly, config
from keysvc.master.status import SystemStatus
from keysvc.model import Application, Field, Flags, MasterSecret
from keysvc.sso.administration import Administration
from keysvc.web.master.client import MasterClient

APPLICATIONS = 4
PLAIN = b'{"Password":"correct horse battery"}'
PASSWORD = "correct horse battery"
MARKS = (10, 50, 100)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rotation_at_scale", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="how many credentials")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        failed = _Run(Path(folder), rows).run()
    sys.exit(1 if failed else 0)


class _Run:
    def __init__(self, folder: Path, rows: int) -> None:
        self._rows = rows
        self._machine = Machine(folder / "master", folder / "logs")
        where = ("--dir", str(self._machine.directory), "--listen", f"127.0.0.1:{free_port()}", "--no-backup")
        self._machine.run("init", *where, "--poll-interval", "1s", configured=False)
        self._config = config.load(self._machine.config)
        self._database = self._machine.directory / "keysvc.db"

    def run(self) -> int:
        """All of it; how many look-ups failed."""
        client = assembly.master_client(self._config)
        secret, applications = self._prepare(client)
        floor = Floor(
            shutil.copy(self._database, self._database.with_name("floor.db")),
            applications,
            secret,
            self._config.system_id,
        )
        with self._serve(client) as serving, _Lookups(self._machine.config, self._rows) as lookups:
            watched = _Watched(serving.popen.pid)
            client.rotate()
            watched.until_complete(client)
            during = lookups.done.value
            by_hand = floor.round()
            rate = self._rate()
        self._tell(watched, rate, by_hand, lookups, during)
        client.close()
        return lookups.failed.value

    def _serve(self, client: MasterClient) -> Process:
        process = self._machine.start("serve")
        wait_until(lambda: client.status().master is not None, "the master secret server")
        return process

    def _prepare(self, client: MasterClient) -> tuple[MasterSecret, list[Application]]:
        with self._serve(client):
            (secret,) = client.every_version()
        store = assembly.open_mapping_store(self._config)
        administration = Administration(store, "administrator")
        for number in range(APPLICATIONS):
            fields = [Field("User Id", masked=False), Field("Password", masked=True)]
            administration.create_application(f"APP-{number}", fields, flags=Flags(enabled=True))
        applications = list(store.applications())
        store.close()
        _fill(self._database, self._rows, applications, CredentialCipher(secret, self._config.system_id))
        return secret, applications

    def _rate(self) -> float:
        """From the activation to the proof that no row is under another version, as the audit trail has it."""
        store = assembly.open_mapping_store(self._config)
        at = {entry.action: entry.at for entry in store.audit()}
        store.close()
        return self._rows / (at["rotation.finished"] - at["version.activated"]).total_seconds()

    def _tell(self, watched: _Watched, rate: float, by_hand: float, lookups: _Lookups, during: int) -> None:
        print(f"{self._rows:,} mappings re-encrypted on SQLite while an application looked credentials up")
        print(f"  keysvc                {rate:>12,.0f} rows/s, {self._rows / rate:,.1f} s")
        print(f"  sqlite3 and AESGCM    {by_hand:>12,.0f} rows/s, by hand, under the same look-ups")
        print(f"  share of that         {rate / by_hand:>12.2f}")
        for mark in MARKS:
            print(f"  peak RSS at {mark:>3} %     {watched.peaks[mark] / 1024:>12,.1f} MiB of the master secret server")
        print(f"  lookups               {during:>12,} during the rotation")
        print(f"  failed_lookups        {lookups.failed.value:>12,}")


def _fill(database: Path, rows: int, applications: abc.Sequence[Application], cipher: CredentialCipher) -> None:
    """Past keysvc: that is not what is measured."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA synchronous = OFF")
    each = -(-rows // len(applications))
    with connection:
        connection.executemany(
            "INSERT INTO mappings (application, user, external_user, enabled, revision) VALUES (?, ?, ?, 1, 1)",
            ((applications[n // each].name, f"user-{n % each:07}", f"U{n}") for n in range(rows)),
        )
        places = ((applications[n // each], f"user-{n % each:07}") for n in range(rows))
        connection.executemany(
            "INSERT INTO credentials (application, user, version, ciphertext, revision) VALUES (?, ?, 1, ?, 1)",
            ((a.name, user, cipher.encrypt_plain(a, user, PLAIN)) for a, user in places),
        )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@dataclass(slots=True)
class _Watched:
    """The peak of a process's resident memory, in KiB, when so many per cent were done."""

    pid: int
    peaks: dict[int, int] = field(default_factory=dict)

    def until_complete(self, client: MasterClient) -> None:
        while True:
            found = client.status()
            percent = self._percent(found)
            for mark in MARKS:
                if percent >= mark and mark not in self.peaks:
                    self.peaks[mark] = self._peak()
            if percent == 100:
                return
            time.sleep(1)  # each status counts every row

    def _percent(self, found: SystemStatus) -> int:
        if found.rotation is not None:
            return min(99, found.rotation.done * 100 // found.rotation.total)
        return 100 if found.active_version == 2 else 0

    def _peak(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


class _Lookups:
    """A process that looks random credentials up, each in the mapping store, and compares what it gets."""

    def __init__(self, at: Path, rows: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.done: Synchronized[int] = context.Value("q", 0)
        self.failed: Synchronized[int] = context.Value("q", 0)
        self._stop = context.Event()
        self._process = context.Process(target=_look_up, args=(at, rows, self.done, self.failed, self._stop))

    def __enter__(self) -> _Lookups:
        self._process.start()
        while not self.done.value:
            time.sleep(0.05)
        self.done.value = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._process.join()


def _look_up(at: Path, rows: int, done: Synchronized[int], failed: Synchronized[int], stop: Event) -> None:
    with assembly.connect(at) as sso:
        while not stop.is_set():
            application, user = (
                f"APP-{random.randrange(APPLICATIONS)}",
                f"user-{random.randrange(rows // APPLICATIONS):07}",
            )
            try:
                good = sso.credential(application, user=user, fresh=True)["Password"].reveal() == PASSWORD
            except KeysvcError as error:
                print(f"a look-up failed: {error}", file=sys.stderr)
                good = False
            done.value += 1
            failed.value += not good
            time.sleep(0.001)


if __name__ == "__main__":
    main()
