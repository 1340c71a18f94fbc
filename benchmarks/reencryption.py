"""Re-encrypting every stored credential: from a version's activation to the proof that no row is under another.

- keysvc: a running master secret server on SQLite, in this process, with all that its worker does meanwhile.
- floor: one connection to a copy of the same file, the standard library's sqlite3 and AESGCM: read 2,000 rows, decrypt,
  encrypt, `executemany` an UPDATE that compares the revision, commit. synchronous=FULL as keysvc's, one thread.
- peer: OpenBao's transit engine, `rewrap` in batches of 480 (it refuses more than 1,000 strings in a request) over one
  connection, on one core. It stores nothing, and does a tenth of the rows in each round.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sqlite3
import struct
import tempfile
import threading
import time
from collections import abc
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from benchmarks.measuring import Figures, Race, Scale
from benchmarks.openbao import OpenBao
from benchmarks.system import SYSTEM_ID, System
from keysvc.master.service import MasterSecretServer
from keysvc.model import Application, MasterSecret
from keysvc.plugin.logs import Line, log_nothing

BATCH = 2000
PEER_BATCH = 480
Cipher = abc.Callable[[bytes, bytes, bytes], bytes]
ROUNDS = 3


def figures(scale: Scale) -> Figures:
    for rows in [20_000] if scale.quick else [200_000, 1_000_000]:
        with tempfile.TemporaryDirectory() as folder, OpenBao(Path(folder)) as peer:
            yield from _figures(Path(folder), rows, 2 if rows > 200_000 else ROUNDS, peer)


def _figures(folder: Path, rows: int, rounds: int, peer: OpenBao) -> Figures:
    system = System.configured(folder / "keysvc")
    applications = system.add_applications(f"APP-{number}" for number in range(4))
    system.fill(applications, rows)
    floor = Floor(shutil.copy(system.database, folder / "floor.db"), applications, system.secret(1))
    master = Rotating(system)
    contenders = {"keysvc": master.round, "floor": floor.round, "OpenBao": Rewrapping(peer, rows // 10).round}
    try:
        race = Race(f"re-encrypt {rows:,} rows", "rows/s", contenders, rounds).run()
    finally:
        master.stop()
    yield race.against("floor", 0.80)
    yield race.against("OpenBao", 4)


class Rotating(logging.Handler):
    """A master secret server whose rotations are timed by what it logs."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self._finished = threading.Event()
        self._rate = 0.0
        self._begun = 0.0
        logging.getLogger("keysvc").setLevel(logging.INFO)
        logging.getLogger("keysvc").addHandler(self)
        self._master: MasterSecretServer = system.master()
        self._master.start(print)
        gc.collect()
        gc.freeze()  # as a server does before it serves

    def emit(self, record: logging.LogRecord) -> None:
        said = record.msg
        assert isinstance(said, Line)
        if said.event == "activated a version":
            self._begun = time.perf_counter()
        if said.event == "re-encrypted all credentials":
            self._rate = int(said.values["rows"]) / (time.perf_counter() - self._begun)
            self._finished.set()

    def round(self) -> float:
        """One rotation."""
        self._finished.clear()
        self._master.rotate("benchmark")
        self._finished.wait()
        return self._rate

    def stop(self) -> None:
        self._master.stop()
        logging.getLogger("keysvc").removeHandler(self)
        log_nothing()


class Floor:
    """The same work by hand on a file of the same rows; it only knows what such a row needs."""

    def __init__(
        self,
        path: str | Path,
        applications: abc.Sequence[Application],
        secret: MasterSecret,
        system_id: str = SYSTEM_ID,
    ) -> None:
        self._system_id = system_id
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._applications = {application.name: application for application in applications}
        self._secret = secret
        self._version = 1

    def round(self) -> float:
        begin = time.perf_counter()
        old, new = self._version, self._version + 1
        keys = {name: self._keys(application, old, new) for name, application in self._applications.items()}
        done, after = 0, ("", "")
        while rows := self._connection.execute(
            "SELECT application, user, ciphertext, revision FROM credentials"
            " WHERE (application, user) > (?, ?) AND version != ? ORDER BY application, user LIMIT ?",
            (*after, new, BATCH),
        ).fetchall():
            nonces, header, moved = os.urandom(12 * len(rows)), struct.pack(">BI", 1, new), []
            for number, (application, user, ciphertext, revision) in enumerate(rows):
                decrypt, encrypt, before, after_old, after_new = keys[application]
                name = user.encode()
                place = before + len(name).to_bytes(4, "big") + name
                plain = decrypt(ciphertext[5:17], ciphertext[17:], place + after_old)
                nonce = nonces[12 * number : 12 * number + 12]
                sealed = encrypt(nonce, plain, place + after_new)
                moved.append((new, header + nonce + sealed, application, user, revision))
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "UPDATE credentials SET version = ?, ciphertext = ?, revision = revision + 1"
                " WHERE application = ? AND user = ? AND revision = ?",
                moved,
            )
            self._connection.execute("COMMIT")
            done, after = done + len(rows), rows[-1][:2]
        self._version = new
        return done / (time.perf_counter() - begin)

    def _keys(self, application: Application, old: int, new: int) -> tuple[Cipher, Cipher, bytes, bytes, bytes]:
        aead, before, after = application_key(application, self._secret, self._system_id)
        return aead.decrypt, aead.encrypt, before, after + struct.pack(">I", old), after + struct.pack(">I", new)


class Rewrapping:
    """The peer's way: read nothing, write nothing, only ciphertexts through the engine."""

    def __init__(self, peer: OpenBao, count: int) -> None:
        self._peer = peer
        plain = b'{"Password":"correct horse battery"}'
        self._batches = [peer.encrypted(plain, PEER_BATCH) for _ in range(-(-count // PEER_BATCH))]

    def round(self) -> float:
        self._peer.rotate()
        begin = time.perf_counter()
        self._batches = [self._peer.rewrapped(batch) for batch in self._batches]
        return PEER_BATCH * len(self._batches) / (time.perf_counter() - begin)


def application_key(application: Application, secret: MasterSecret, system_id: str) -> tuple[AESGCM, bytes, bytes]:
    """By hand, as docs/formats.md has it: the key, and the associated data before and after the user, which the version
    follows."""
    info = b"keysvc credential key v1" + application.application_id.encode()
    aead = AESGCM(HKDF(SHA256(), 32, bytes.fromhex(system_id), info).derive(secret.material.reveal()))
    before = (system_id, application.application_id, application.name)
    after = (field.label for field in application.fields[1:])
    return aead, b"".join(map(_prefixed, before)), b"".join(map(_prefixed, after))


def _prefixed(text: str) -> bytes:
    return struct.pack(">I", len(text.encode())) + text.encode()
