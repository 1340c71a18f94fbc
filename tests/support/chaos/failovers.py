"""What befalls a cluster of PostgreSQL servers under a living fleet. Each function is one fault, from its first moment
to its last, and returns when it was, and whether commits may be lost."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import abc
from dataclasses import dataclass

from patroni_cluster import TTL_SECONDS, Cluster, Node
from systems import eventually

from chaos.site import Site
from keysvc.errors import KeysvcError
from keysvc.installation import config

STALE_SECONDS = 1.5
"""How long commits reach no replica before the primary dies."""
NOTICE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outage:
    """From `begin` on the database may fail; at `promoted` the new primary answered; at `end` the database was whole.
    `loses`: commits that were acknowledged before `promoted` may be missing afterwards."""

    begin: float
    promoted: float
    end: float
    loses: bool = False


def switchover(cluster: Cluster, _site: Site) -> Outage:
    """An operator plans it."""
    begin = time.monotonic()
    cluster.switch_over()
    return _over(begin)


def primary_killed(cluster: Cluster, _site: Site) -> Outage:
    """Its machine has no power for a while."""
    return _until_another_is_primary(cluster, cluster.kill, cluster.start)


def primary_paused(cluster: Cluster, _site: Site) -> Outage:
    """Its virtual machine stands still until another is the primary, and then goes on."""
    return _until_another_is_primary(cluster, cluster.pause, cluster.resume)


def primary_partitioned(cluster: Cluster, _site: Site) -> Outage:
    """Nothing reaches it, and it reaches nobody, until another is the primary."""
    return _until_another_is_primary(cluster, cluster.partition, cluster.heal)


def load_balancer_switches_late(cluster: Cluster, site: Site) -> Outage:
    """A planned switchover, and every process still reaches the old primary, which is a replica now, for a while."""
    old, begin = cluster.primary_now(), time.monotonic()
    site.send(site.database_ways, old.port)
    cluster.switch_over()
    time.sleep(2)
    site.send(site.database_ways, None)
    return _over(begin)


def commits_lost(cluster: Cluster, site: Site) -> Outage:
    """The primary dies when its replicas are behind: what it committed last is gone."""
    old, begin = cluster.primary_now(), time.monotonic()
    old.replication_way.cut(silently=False)
    _write_into_the_void(site)
    cluster.kill(old)
    cluster.wait_for_another(old)
    promoted = time.monotonic()
    old.replication_way.heal()
    _notice(site)
    cluster.start(old)
    return _over(begin, promoted, loses=True)


def old_primary_is_an_island(cluster: Cluster, site: Site) -> Outage:
    """Nobody stops the old primary when another is promoted: it takes commits on, for half of the processes."""
    old, begin = cluster.primary_now(), time.monotonic()
    half = [name for number, name in enumerate(site.database_ways) if number % 2 == 0]
    site.send(half, old.port)
    cluster.pause(old, patroni_only=True)
    for way in (old.replication_way, old.api_way, old.way):
        way.cut(silently=False)
    cluster.wait_for_another(old)
    time.sleep(2 * TTL_SECONDS / 2)
    _notice(site)
    cluster.kill(old)
    site.send(half, None)
    promoted = time.monotonic()
    cluster.heal(old)
    cluster.start(old)
    return _over(begin, promoted, loses=True)


def snapshot_restored(cluster: Cluster, site: Site) -> Outage:
    """A person goes back to a snapshot of some seconds ago, and keysvc goes on running."""
    copy = cluster.snapshot()
    begin = time.monotonic()
    with contextlib.suppress(KeysvcError), contextlib.closing(site.administrator()) as client:
        client.rotate()
    _write_into_the_void(site)
    cluster.restore(copy)
    promoted = time.monotonic()
    _notice(site)
    return _over(begin, promoted, loses=True)


KEEPING: abc.Mapping[str, abc.Callable[[Cluster, Site], Outage]] = {
    function.__name__: function
    for function in (switchover, primary_killed, primary_paused, primary_partitioned, load_balancer_switches_late)
}
"""With synchronous replication these lose nothing."""
LOSING: abc.Mapping[str, abc.Callable[[Cluster, Site], Outage]] = {
    function.__name__: function for function in (commits_lost, old_primary_is_an_island, snapshot_restored)
}
"""These lose commits, whatever the replication."""


def _until_another_is_primary(
    cluster: Cluster, harm: abc.Callable[[Node], None], undo: abc.Callable[[Node], None]
) -> Outage:
    primary, begin = cluster.primary_now(), time.monotonic()
    harm(primary)
    cluster.wait_for_another(primary)
    promoted = time.monotonic()
    undo(primary)
    return _over(begin, promoted)


def _over(begin: float, promoted: float = 0.0, *, loses: bool = False) -> Outage:
    now = time.monotonic()
    return Outage(begin, promoted or now, now, loses)


def _write_into_the_void(site: Site) -> None:
    """Until applications have stored something that will be lost."""
    time.sleep(STALE_SECONDS)


def _notice(site: Site) -> None:
    """Give the system the time to notice what is lost, and accept the store as an administrator would."""
    deadline = time.monotonic() + NOTICE_SECONDS / 4
    while time.monotonic() < deadline and not site.noticed():
        time.sleep(0.1)
    site.history.note("noticed" if site.noticed() else "not noticed")
    if site.noticed():
        file = str(site.folder / site.masters[0].name / config.FILE_NAME)
        command = [sys.executable, "-m", "keysvc", "--config", file, "system", "accept-store"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
        site.history.note("accepted", status=done.returncode, said=f"{done.stdout}{done.stderr}"[:500])
        eventually(lambda: not site.noticed(), NOTICE_SECONDS)
