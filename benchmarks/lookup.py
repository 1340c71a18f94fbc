"""A credential looked up in this process, among 10,000 users at random: look-ups a second.

Not cached, as `fresh=True` asks and as every first look-up is:
- keysvc: `SSO.credential` on SQLite: application, mapping and credential are read, checked and decrypted.
- floor: one connection of sqlite3, one statement that joins the three tables, AESGCM, JSON.

Cached:
- keysvc: `SSO.credential`, from memory, with the level of the audit in mind.
- floor: a look-up in a dict, and one copy of what is found.
"""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import tempfile
from collections import abc
from pathlib import Path

from benchmarks.measuring import Figures, Race, Scale, repeated, timed
from benchmarks.reencryption import application_key
from benchmarks.system import SYSTEM_ID, System
from keysvc.model import Application, MasterSecret

USERS = 10_000
KEPT = 1000
ROUNDS = 7
SELECT = """
    SELECT a.application_id, a.flags, m.external_user, m.enabled, c.version, c.ciphertext, c.revision
    FROM credentials c
    JOIN mappings m ON m.application = c.application AND m.user = c.user
    JOIN applications a ON a.name = c.application
    WHERE c.application = ? AND c.user = ?
"""


def figures(scale: Scale) -> Figures:
    with tempfile.TemporaryDirectory() as name:
        system = System.configured(Path(name))
        (application,) = system.add_applications(["APP-0"])
        system.fill([application], USERS)
        with system.running_master() as master, system.sso(master) as sso:
            floor = Floor(system.database, application, system.secret(1))
            some = random_users(USERS)
            contenders = {
                "keysvc": timed(
                    repeated(lambda: sso.credential("APP-0", user=next(some), fresh=True), scale.of(10_000, 2000))
                ),
                "floor": timed(repeated(lambda: floor.credential("APP-0", next(some)), scale.of(50_000, 10_000))),
            }
            rounds = scale.of(ROUNDS, 3)
            yield Race("look-up, not cached", "look-ups/s", contenders, rounds).run().against("floor", 0.4)
            few, times = random_users(KEPT), scale.of(300_000, 50_000)
            names = [user_name(number) for number in range(KEPT)]
            kept = {("APP-0", user): dict(sso.credential("APP-0", user=user).fields) for user in names}
            contenders = {
                "keysvc": timed(repeated(lambda: sso.credential("APP-0", user=next(few)), times)),
                "floor": timed(repeated(lambda: kept["APP-0", next(few)].copy(), times)),  # noqa: PLW0108  the user changes,
            }
            yield Race("look-up, cached", "look-ups/s", contenders, rounds).run().against("floor", 0.5)


def random_users(count: int) -> abc.Iterator[str]:
    """Drawn before anything is measured."""
    return itertools.cycle([user_name(random.randrange(count)) for _ in range(20_000)])


def user_name(number: int) -> str:
    return f"user-{number:07}"


class Floor:
    """By hand, on the same file."""

    def __init__(self, database: Path, application: Application, secret: MasterSecret) -> None:
        self._connection = sqlite3.connect(database)
        self._aead, self._before, self._after = application_key(application, secret, SYSTEM_ID)

    def credential(self, application: str, user: str) -> dict[str, str]:
        row = self._connection.execute(SELECT, (application, user)).fetchone()
        _, flags, _, enabled, version, ciphertext, _ = row
        if not enabled or not json.loads(flags)["enabled"]:
            raise PermissionError
        name = user.encode()
        place = self._before + len(name).to_bytes(4, "big") + name + self._after + version.to_bytes(4, "big")
        found: dict[str, str] = json.loads(self._aead.decrypt(ciphertext[5:17], ciphertext[17:], place))
        return found
