"""The model of the protocol, docs/model/keysvc.pml, checked by Spin: python -m model_checking [--whole]"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import abc
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).parents[2] / "docs" / "model" / "keysvc.pml"
MEGABYTES = 4000


@dataclass(frozen=True, slots=True)
class Size:
    """How large the modelled system is: two masters and two SSO servers, always."""

    epochs: int = 2
    numbers: int = 2
    fork: bool = False
    disks: bool = False


SMALL = Size()
WHOLE: abc.Mapping[str, Size] = {
    "a store that goes back": Size(epochs=3, numbers=3),
    "receipts on the disks of masters, late answers": Size(disks=True),
    "two stores, and a load balancer that switches late": Size(fork=True),
}
"""What `make model` checks."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A guard that is taken out, and the invariants of which one is broken then, in a system of this `size`."""

    without: str
    breaks: frozenset[int]
    size: Size = SMALL


THREE_GRANTS = Size(epochs=3)
MUTANTS = (
    Mutant("EPOCH", frozenset({1})),
    Mutant("GRANT_ID", frozenset({1})),
    Mutant("SEALING_FIRST", frozenset({2, 7})),
    Mutant("WAITING", frozenset({3})),
    Mutant("REFUSING_NEWCOMERS", frozenset({3})),
    Mutant("QUIET_PERMISSIONS", frozenset({3})),
    Mutant("QUIET_LEASE", frozenset({3})),
    Mutant("ACTIVE_VERSION", frozenset({4})),
    Mutant("PERMISSION", frozenset({5})),
    Mutant("COMPARE_AND_SWAP", frozenset({6})),
    Mutant("READINESS", frozenset({7})),
    Mutant("ABANDONING", frozenset({7})),
    Mutant("SCAN", frozenset({2, 4})),
    Mutant("CHECK_VALUE", frozenset({3, 4})),
    Mutant("LOST_NUMBERS", frozenset({11})),
    Mutant("STOP_IN_COMMIT", frozenset({11})),
    Mutant("LEASE_IN_REPETITION", frozenset({3})),
    Mutant("STATES_AS_DECIDED", frozenset({4})),
    Mutant("STOPPING", frozenset({12})),
    Mutant("AUDIT_HEADS", frozenset({12})),
    Mutant("HEAD_OF_WRITER", frozenset({12})),
    Mutant("LIST_OF_GRANTS", frozenset({12, 13}), THREE_GRANTS),
    Mutant("VERIFYING", frozenset({12})),
    Mutant("ACCEPTED_EPOCH", frozenset({12}), THREE_GRANTS),
    Mutant("RAISING", frozenset({12}), THREE_GRANTS),
    Mutant("EPOCH_OF_WRITER", frozenset({13})),
    Mutant("GRANT_OF_WRITER", frozenset({13})),
    Mutant("REFUSING_OLD", frozenset({3, 12}), Size(disks=True)),
)


@dataclass(frozen=True, slots=True)
class Checked:
    """What Spin found. `broken` is the number of the invariant that the counterexample breaks, 0 when there is none;
    `complete` says that every state was visited."""

    states: int
    broken: int
    complete: bool
    output: str


def missing() -> str:
    """The programs that are not here; empty when all are."""
    return " and ".join(program for program in ("spin", "gcc") if shutil.which(program) is None)


class Verifier:
    """The program that Spin makes of the model. Size and mutant are chosen when it starts: it is compiled once."""

    def __init__(self, folder: Path) -> None:
        """Raises RuntimeError when the model does not compile."""
        self._folder = folder
        shutil.copyfile(MODEL, folder / MODEL.name)
        options = ("-DSAFETY", "-DNOREDUCE", "-DCOLLAPSE", "-DBFS", f"-DMEMLIM={MEGABYTES}")
        said = self._run("spin", "-a", MODEL.name) + self._run("gcc", "-w", "-O1", *options, "-o", "pan", "pan.c")
        if not (folder / "pan").exists():
            raise RuntimeError(f"the model does not compile: {said}")

    def check(self, size: Size, without: str = "") -> Checked:
        """Visit every state, breadth first, so that a counterexample is a shortest one."""
        chosen = {"EPOCHS": size.epochs, "NUMBERS": size.numbers, "FORK": int(size.fork), "DISKS": int(size.disks)}
        chosen["WITHOUT"] = self._number(without) if without else 0
        return _read(self._run("./pan", "-n", "-E", **{name: str(value) for name, value in chosen.items()}))

    def _number(self, guard: str) -> int:
        found = re.search(rf"#define WITHOUT_{guard} \(without == (\d+)\)", MODEL.read_text("utf-8"))
        assert found is not None, f"the model has no guard {guard}"
        return int(found[1])

    def _run(self, *command: str, **environment: str) -> str:
        done = subprocess.run(
            command,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )
        return done.stdout


def _read(output: str) -> Checked:
    states = re.search(r"(\d+) states, stored", output)
    broken = re.search(r"assertion violated \(*(\d+)&&", output)
    complete = states is not None and "Search not completed" not in output and "errors: 0" in output
    return Checked(int(states[1]) if states else 0, int(broken[1]) if broken else 0, complete, output)


def main() -> int:
    parser = argparse.ArgumentParser(prog="model_checking", description=__doc__)
    parser.add_argument("--whole", action="store_true", help="the large configurations as well")
    asked = parser.parse_args()
    if lacking := missing():
        print(f"{lacking} is not here: apt-get install spin gcc", file=sys.stderr)
        return 1
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="keysvc-model-") as folder:
        verifier = Verifier(Path(folder))
        for mutant in MUTANTS:
            found = verifier.check(mutant.size, mutant.without)
            print(f"without {mutant.without}: invariant {found.broken} is broken; {found.states} states", flush=True)
            wrong += found.broken not in mutant.breaks
        for name, size in {"small": SMALL, **(WHOLE if asked.whole else {})}.items():
            began = time.monotonic()
            found = verifier.check(size)
            result = (
                "every invariant holds" if found.complete else f"invariant {found.broken} is broken, or memory ended"
            )
            print(f"{name}: {found.states} states in {time.monotonic() - began:.0f} s, {result}", flush=True)
            wrong += not found.complete
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
