"""A certificate that renews itself while an administrator revokes it, against a running server."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

from attackers import Attacked, Kept
from systems import eventually

from keysvc.model import Role
from keysvc.web.tls.identity_files import IdentityFiles

ROUNDS, RENEWALS = 3, 4
POLL = "/v1/poll?instance=attacker&holds="


def test_a_revocation_stands_whatever_renews_at_that_moment(attacked: Attacked) -> None:
    """The database's write lock is the barrier: every renewal and the revocation wait at it with what they read."""
    identities = {f"web-{number}": attacked.enrolled(f"web-{number}", Role.SERVER) for number in range(ROUNDS)}
    serving = attacked.serve()
    boss = IdentityFiles(attacked.config.resolve(attacked.config.identity))
    pairs = []
    for name, files in identities.items():
        administrator, renewing = attacked.kept(boss), [attacked.kept(files) for _ in range(RENEWALS)]
        for kept in (administrator, *renewing):
            assert kept.ask("GET", POLL).status == 200
        with ThreadPoolExecutor(RENEWALS + 1) as threads:
            blocking = sqlite3.connect(attacked.config.mapping_store.removeprefix("sqlite:///"), isolation_level=None)
            blocking.execute("BEGIN IMMEDIATE")
            renewals = [threads.submit(kept.renew, name) for kept in renewing]
            revocation = threads.submit(administrator.ask, "DELETE", f"/v1/identities/{name}")
            time.sleep(1.5)  # each of them has read, and waits to write
            assert not any(each.done() for each in (*renewals, revocation))
            blocking.execute("ROLLBACK")
            blocking.close()
            assert revocation.result().status == 204
            pairs += [pair for each in renewals if (pair := each.result()[1]) is not None]
        assert attacked.stored(name).revoked_at is not None
        for kept in (administrator, *renewing):
            kept.close()
    serving.end()
    attacked.serve()
    new = [attacked.with_pair(pair, attacked.folder / f"new-{number}") for number, pair in enumerate(pairs)]
    for files in (*identities.values(), *new):
        assert fetch_is_refused(attacked.kept(files))
    eventually(lambda: all(attacked.stored(name).revoked_at is not None for name in identities))


def fetch_is_refused(kept: Kept) -> bool:
    answer = kept.ask("POST", "/v1/versions/1", {"kem": "X25519", "public_key": "A" * 44})
    kept.close()
    return answer.status == 403
