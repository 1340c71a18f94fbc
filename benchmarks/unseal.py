"""Unsealing one version with a KEK in a token of SoftHSM: versions a second of the processor, one after the other.

- keysvc: the key store `pkcs11:` as a master secret server uses it, its token process started and logged in. Both
  processes count; only one works at a time, but a busy machine lets each wait for its turn, and the floor has no turns.
- floor: unseal.c, the same PKCS #11 calls in a C loop. A test of the plugin compares traces by hsm/shim of both.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections import abc
from pathlib import Path

from benchmarks.measuring import Figures, Race, Scale, Unavailable, repeated, timed
from benchmarks.processes import cpu_seconds
from benchmarks.system import SYSTEM_ID, nobody
from keysvc.model import MasterSecret, SecretBytes, utc_now
from keysvc.plugin.loading import Plugins

ROUNDS = 7
KEY = "keysvc"
UP = Path(__file__).parents[1] / "hsm/softhsm/up.sh"


def figures(scale: Scale) -> Figures:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        floor = compiled(folder)
        token = made_token(folder / "token")
        os.environ["SOFTHSM2_CONF"] = token["SOFTHSM2_CONF"]
        module, label = token["KEYSVC_TEST_PKCS11_MODULE"], token["KEYSVC_TEST_PKCS11_TOKEN"]
        pin = Path(token["KEYSVC_TEST_PKCS11_PIN_FILE"])
        url = f"pkcs11:token={label};object={KEY}?module-path={module}&pin-source=file:{pin}"
        before = children()
        store = Plugins().key_stores.open(url, nobody, SYSTEM_ID)
        store.seal(MasterSecret(1, utc_now(), SecretBytes(os.urandom(32))))
        (token_process,) = children() - before
        times = scale.of(2000, 1000)
        entry = f"{SYSTEM_ID}/{KEY}/version-{1:010d}"
        command: list[str | Path] = [floor, module, label, pin.read_text("ascii").strip(), KEY, entry, str(times)]
        contenders = {
            "keysvc": timed(
                repeated(lambda: store.unseal(1), times), lambda: time.process_time() + cpu_seconds(token_process)
            ),
            "floor": lambda: float(subprocess.run(command, check=True, capture_output=True).stdout),
        }
        yield Race("unseal on SoftHSM", "versions/s", contenders, scale.of(ROUNDS, 3)).run().against("floor", 0.7)
        store.close()


def children() -> set[int]:
    """Processes that this one has started and that have not ended."""
    return {int(process) for process in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()}


def compiled(folder: Path) -> Path:
    """unseal.c. Raises Unavailable."""
    program, header = folder / "unseal", Path("/usr/include/p11-kit-1")
    if not shutil.which("cc") or not header.exists():
        raise Unavailable("a C compiler and the header of p11-kit are needed: apt-get install gcc libp11-kit-dev")
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["cc", "-O2", "-Wall", f"-I{header}", "-o", program, source, "-ldl"], check=True)
    return program


def made_token(folder: Path) -> abc.Mapping[str, str]:
    """What hsm/softhsm/up.sh prints. Raises Unavailable where SoftHSM is missing: nothing is installed here."""
    if not shutil.which("softhsm2-util"):
        raise Unavailable("SoftHSM is not here: apt-get install softhsm2")
    said = subprocess.run(["sh", UP, folder], check=True, capture_output=True, text=True).stdout
    return {name: shlex.split(value)[0] for name, value in re.findall(r"^export (\w+)=(.*)$", said, re.MULTILINE)}
