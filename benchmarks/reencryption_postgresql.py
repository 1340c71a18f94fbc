"""Re-encrypting every stored credential on PostgreSQL: from a version's activation to the proof that no row is under
another.

- keysvc: a running master secret server in this process, on a PostgreSQL server on loopback.
- floor: psycopg and AESGCM on another table of the same rows and indexes: a server-side page of 2,000 rows by key in
  binary, one UPDATE … FROM unnest of arrays in binary, which compares the revision; the best single statement that
  we found (docs/performance.md has others), one connection, one thread.
"""

from __future__ import annotations

import os
import struct
import tempfile
import time
from collections import abc
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figures, Race, Scale, Unavailable
from benchmarks.postgresql_server import postgresql
from benchmarks.reencryption import BATCH, Rotating, application_key
from benchmarks.system import SYSTEM_ID, Row, System
from keysvc.model import Application, MasterSecret

ROWS = 100_000
ROUNDS = 3
SELECT = """
    SELECT application, "user", ciphertext, revision FROM floor
    WHERE (application, "user") > (%s, %s) AND version = %s ORDER BY application, "user" LIMIT %s
"""
UPDATE = """
    UPDATE floor SET version = %b, ciphertext = new.ciphertext, revision = floor.revision + 1
    FROM unnest(%b::text[], %b::text[], %b::bigint[], %b::bytea[]) AS new (application, "user", revision, ciphertext)
    WHERE floor.application = new.application AND floor."user" = new."user" AND floor.revision = new.revision
"""


def figures(scale: Scale) -> Figures:
    rows = scale.of(ROWS, 10_000)
    with tempfile.TemporaryDirectory() as folder, postgresql() as port:
        system = System.configured(Path(folder), f"postgresql://postgres@127.0.0.1:{port}/postgres")
        applications = system.add_applications(f"APP-{number}" for number in range(4))
        floor = Floor(port, applications, system.secret(1))
        floor.fill(list(system.rows(applications, rows)))
        master = Rotating(system)
        contenders = {"keysvc": master.round, "floor": floor.round}
        try:
            race = Race(f"re-encrypt {rows:,} rows on PostgreSQL", "rows/s", contenders, scale.of(ROUNDS, 3)).run()
        finally:
            master.stop()
            floor.close()
        yield race.against("floor", 0.70)


class Floor:
    """By hand, on the table `floor`."""

    def __init__(self, port: int, applications: abc.Sequence[Application], secret: MasterSecret) -> None:
        try:
            import psycopg
        except ImportError:
            raise Unavailable("psycopg is not here: pip install ./plugins/keysvc-postgresql") from None
        self._connection = psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True)
        self._keys = {each.name: application_key(each, secret, SYSTEM_ID) for each in applications}
        self._version = 1

    def fill(self, rows: abc.Sequence[Row]) -> None:
        """Both tables, past keysvc: that is not what is measured."""
        cursor = self._connection.cursor()
        places = ((row.application, row.user, row.user.upper(), 1, 1) for row in rows)
        copy = 'COPY mappings (application, "user", external_user, enabled, revision) FROM STDIN'
        self._copy(cursor, copy, places)
        credentials = ((row.application, row.user, row.version, row.ciphertext, 1) for row in rows)
        copy = 'COPY credentials (application, "user", version, ciphertext, revision) FROM STDIN'
        self._copy(cursor, copy, credentials)
        cursor.execute("CREATE TABLE floor (LIKE credentials INCLUDING ALL)")
        cursor.execute("INSERT INTO floor SELECT * FROM credentials")
        cursor.execute("VACUUM ANALYZE")

    def _copy(self, cursor: Any, statement: str, rows: abc.Iterable[tuple[object, ...]]) -> None:
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def round(self) -> float:
        begin = time.perf_counter()
        old, new = self._version, self._version + 1
        cursor = self._connection.cursor(binary=True)
        done, after, header, version = 0, ("", ""), struct.pack(">BI", 1, new), struct.pack(">I", new)
        old_version = struct.pack(">I", old)
        while rows := cursor.execute(SELECT, (*after, old, BATCH), prepare=True).fetchall():
            nonces, ciphertexts = os.urandom(12 * len(rows)), []
            for number, (application, user, ciphertext, _) in enumerate(rows):
                aead, before, rest = self._keys[application]
                name = user.encode()
                place = before + len(name).to_bytes(4, "big") + name + rest
                plain = aead.decrypt(ciphertext[5:17], ciphertext[17:], place + old_version)
                nonce = nonces[12 * number : 12 * number + 12]
                ciphertexts.append(header + nonce + aead.encrypt(nonce, plain, place + version))
            columns = ([row[0] for row in rows], [row[1] for row in rows], [row[3] for row in rows], ciphertexts)
            cursor.execute(UPDATE, (new, *columns), prepare=True)
            done, after = done + len(rows), rows[-1][:2]
        self._version = new
        return done / (time.perf_counter() - begin)

    def close(self) -> None:
        self._connection.close()
