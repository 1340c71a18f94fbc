"""How cost grows with what there is: each figure is the exponent k of cost ~ n^k of one unit of work, fitted over all
sizes; 0 is a cost that does not depend on n. At most 0.15: a B-tree grows by its logarithm, caches get fuller.

The full run also draws docs/growth.svg.
"""

from __future__ import annotations

import math
import random
import statistics
import tempfile
import time
from collections import abc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.log_plot import Line, svg
from benchmarks.measuring import Figure, Figures, Scale
from benchmarks.reencryption import Rotating
from benchmarks.system import FIELDS, System
from keysvc.model import Application, ApplicationType, Flags, Identity, MasterSecret, Role, SecretBytes, Server, utc_now
from keysvc.plugin.changes import UNGUARDED, PutApplication, PutIdentity, SeeServers

PICTURE = Path(__file__).parents[1] / "docs/growth.svg"
GOAL = 0.15
LOOKUPS = 1000
Points = abc.Iterator[tuple[str, float]]
"""What one unit of work cost, by name, in seconds."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """What is made more and more of, up to `most`, as a power of ten; in a quick run up to `quick`."""

    of: str
    most: int
    quick: int
    measure: abc.Callable[[System, int], Points]


def figures(scale: Scale) -> Figures:
    lines: dict[str, list[tuple[int, float]]] = {}
    for dimension in DIMENSIONS:
        for power in range(scale.of(2, 2, 1), scale.of(dimension.most, dimension.quick, 2) + 1):
            with tempfile.TemporaryDirectory() as name:
                for what, seconds in dimension.measure(System.configured(Path(name)), 10**power):
                    lines.setdefault(f"{what}, by {dimension.of}", []).append((10**power, seconds))
    for what, points in lines.items():
        told = ", ".join(f"{n:,}: {seconds * 1e6:,.0f} µs" for n, seconds in points)
        yield Figure(f"growth of {what}", exponent(points), "", GOAL, at_most=True, note=told)
    if not scale.quick:
        drawn = [Line(what, [(n, seconds * 1e6) for n, seconds in points]) for what, points in lines.items()]
        PICTURE.write_text(svg("cost of one unit of work", "how many there are", "µs", drawn), "utf-8")


def exponent(points: abc.Sequence[tuple[int, float]]) -> float:
    """The slope of a line through the logarithms."""
    x, y = ([math.log(each[axis]) for each in points] for axis in (0, 1))
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - middle_x) ** 2 for a in x)


def of_rows(system: System, count: int) -> Points:
    applications = system.add_applications(f"APP-{number}" for number in range(4))
    system.fill(applications, count)
    each = -(-count // len(applications))
    users = [(f"APP-{n // each}", f"user-{n % each:07}") for n in (random.randrange(count) for _ in range(LOOKUPS))]
    with system.running_master() as master, system.sso(master) as sso:
        sso.credential(users[0][0], user=users[0][1])
        yield "a look-up, not cached", _each(lambda where: sso.credential(where[0], user=where[1], fresh=True), users)
    rotating = Rotating(system)
    rates = [rotating.round() for _ in range(1 if count > 10_000 else 5)]
    rotating.stop()
    yield "re-encrypting a credential", 1 / max(rates)


def of_applications(system: System, count: int) -> Points:
    store = system.store()
    made = [_application(number) for number in range(count)]
    for begin in range(0, count, 1000):
        store.commit([PutApplication(each) for each in made[begin : begin + 1000]], UNGUARDED)
    system.fill([made[0]], LOOKUPS)
    yield "finding an application", _each(store.application, [random.choice(made).name for _ in range(LOOKUPS)])
    yield "listing an application", _each(lambda _: store.applications(), range(5)) / count
    store.close()


def of_servers(system: System, count: int) -> Points:
    store = system.store()
    servers = [Server(f"server-{n}", "1", (1,), utc_now()) for n in range(count)]
    identities = [Identity(server.name, Role.SERVER, f"{n:x}", utc_now()) for n, server in enumerate(servers)]
    store.commit([SeeServers(servers)], UNGUARDED)
    yield "recording an SSO server", _each(lambda _: store.commit([SeeServers(servers)], UNGUARDED), range(5)) / count
    store.commit([PutIdentity(identity) for identity in identities], UNGUARDED)
    store.close()
    with system.running_master() as master:
        polls = [random.choice(servers).name for _ in range(10_000)]
        yield "answering a poll", _each(lambda name: master.poll(name, "1", (1,)), polls)


def of_versions(system: System, count: int) -> Points:
    keys = system.key_store()
    versions = range(2, count + 2)
    made = {n: MasterSecret(n, utc_now(), SecretBytes(random.randbytes(32))) for n in versions}
    yield "sealing a version", _each(keys.seal, made.values())
    yield "unsealing a version", _each(keys.unseal, versions)
    keys.close()


DIMENSIONS = (
    Dimension("credentials", 6, 4, of_rows),
    Dimension("applications", 5, 3, of_applications),
    Dimension("SSO servers", 4, 3, of_servers),
    Dimension("versions", 3, 3, of_versions),
)


def _each(once: abc.Callable[[Any], object], arguments: abc.Iterable[Any]) -> float:
    """Seconds for one call, as most of them take it: other work on the machine slows some down."""
    clock, times = time.perf_counter, []
    for argument in arguments:
        begin = clock()
        once(argument)
        times.append(clock() - begin)
    return statistics.median(times)


def _application(number: int) -> Application:
    name = f"APP-{number:06}"
    return Application(name, f"{number:032x}", ApplicationType.INDIVIDUAL, FIELDS, flags=Flags(enabled=True))
