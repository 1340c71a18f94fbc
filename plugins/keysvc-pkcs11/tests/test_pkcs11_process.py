"""The library runs in a process of its own: its death, its hang and its token's loss cost one repeated call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import abc
from pathlib import Path

import pytest

from keysvc.plugin import KeyStoreUnavailable
from keysvc.testing.key_store import secret

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def pid_of(store) -> int:
    return store._sealer._process._running.process.pid


def wait_for(condition: abc.Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"


def test_keysvc_itself_never_loads_the_library(softhsm, opened) -> None:
    store = opened(softhsm.url())
    store.seal(secret(1))
    assert "pkcs11._pkcs11" not in sys.modules
    assert softhsm.module not in Path("/proc/self/maps").read_text("utf-8")


def test_one_login_serves_all_calls(shim, opened) -> None:
    store = opened(shim.softhsm.url())
    for version in range(1, 6):
        store.seal(secret(version))
        store.unseal(version)
    calls = shim.calls()
    assert [calls.count(name) for name in ("C_Initialize", "C_OpenSession", "C_Login", "C_Logout")] == [1, 1, 1, 0]


def test_a_process_killed_between_calls_is_started_again(softhsm, opened, told) -> None:
    store = opened(softhsm.url())
    store.seal(secret(1))
    os.kill(pid_of(store), signal.SIGKILL)
    assert store.unseal(1) == secret(1)
    (line,) = told.lines
    assert "signal 9" in line
    assert "logged in" in line


@pytest.mark.parametrize("function", ["C_DecryptInit", "C_Decrypt", "C_FindObjectsInit", "C_GetAttributeValue"])
def test_a_process_killed_in_the_middle_of_a_call_costs_one_repeated_call(shim, opened, told, function: str) -> None:
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    shim.calls()
    shim.fail(f"{function} hang")
    told.on_first = shim.heal
    pid = pid_of(store)

    def kill() -> None:
        wait_for(lambda: f"{function} hang" in shim.trace.read_text("utf-8"))
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert store.unseal(1) == secret(1)
    killer.join()
    assert pid_of(store) != pid
    assert len(told.lines) == 1


def test_a_hang_ends_with_the_time_out_and_is_tried_again(shim, opened, told) -> None:
    store = opened(shim.softhsm.url(more="&timeout=2"))
    store.seal(secret(1))
    shim.fail("C_Decrypt hang")
    told.on_first = shim.heal
    pid = pid_of(store)
    assert store.unseal(1) == secret(1)
    assert not running(pid)
    assert "no answer within 2 s in unseal" in told.lines[0]


def test_a_token_that_keeps_hanging_is_given_up_after_two_time_outs(shim, opened) -> None:
    store = opened(shim.softhsm.url(more="&timeout=1"))
    shim.fail("C_FindObjectsInit hang")
    begin = time.monotonic()
    with pytest.raises(KeyStoreUnavailable, match="no answer within 1 s"):
        store.versions()
    assert time.monotonic() - begin < 10
    shim.heal()
    assert list(store.versions()) == []


def test_a_crash_at_every_start_is_given_up_and_later_healed(shim, opened, told) -> None:
    store = opened(shim.softhsm.url())
    shim.fail("C_Initialize crash")
    with pytest.raises(KeyStoreUnavailable, match="signal 6") as refused:
        store.versions()
    assert "vendor" in refused.value.hint
    assert shim.calls().count("C_Initialize") == 3
    assert len(told.lines) == 1
    with pytest.raises(KeyStoreUnavailable):
        store.versions()
    assert len(told.lines) == 1, "an outage of a night would fill the log"
    shim.heal()
    assert list(store.versions()) == []


def test_a_token_that_is_lost_and_brought_back_is_used_again_without_a_restart(softhsm, opened) -> None:
    store = opened(softhsm.url())
    store.seal(secret(1))
    for _ in range(2):
        away = softhsm.tokens.rename(softhsm.directory / "away")
        softhsm.tokens.mkdir()
        with pytest.raises(KeyStoreUnavailable, match="the token prod"):
            store.unseal(1)
        softhsm.tokens.rmdir()
        away.rename(softhsm.tokens)
        assert store.unseal(1) == secret(1)


def test_errors_tell_the_age_of_the_session_and_its_last_use(shim, opened) -> None:
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    shim.fail("C_FindObjectsInit CKR_DEVICE_MEMORY")
    with pytest.raises(KeyStoreUnavailable, match=r"logged in \d+ s ago, last used \d+ s ago"):
        store.unseal(1)


@pytest.mark.parametrize("action", ["forget-sessions", "forget-login"])
def test_a_device_that_forgets_its_sessions_or_its_login_is_logged_in_to_again(shim, opened, told, action) -> None:
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    shim.fail(f"C_FindObjectsInit {action}")
    told.on_first = shim.heal
    assert store.unseal(1) == secret(1)


def test_a_function_that_the_library_lacks_costs_no_more_than_its_process(shim, opened) -> None:
    shim.fail("C_GetFunctionList missing", "C_FindObjectsInit missing")
    with pytest.raises(KeyStoreUnavailable):
        opened(shim.softhsm.url()).versions()


# -- forks, threads, ends ----------------------------------------------------------------------------------------------


def test_a_forked_process_gets_a_session_of_its_own(shim, opened, monkeypatch) -> None:
    monkeypatch.setenv("PKCS11_SHIM_REFUSE_FORKED", "1")
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    ours = pid_of(store)
    child = os.fork()
    if child == 0:
        try:
            right = store.unseal(1) == secret(1) and pid_of(store) != ours
            store.seal(secret(2))
            store.close()
            os._exit(0 if right else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert pid_of(store) == ours
    assert running(ours)
    assert store.unseal(2) == secret(2)


def test_many_threads_may_call_at_once(softhsm, opened) -> None:
    store = opened(softhsm.url())
    for version in range(1, 5):
        store.seal(secret(version))
    wrong: list[int] = []

    def unseal(version: int) -> None:
        wrong.extend(version for _ in range(20) if store.unseal(version) != secret(version))

    threads = [threading.Thread(target=unseal, args=(1 + number % 4,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@linux
def test_closing_ends_the_process_in_order(shim, opened) -> None:
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    pid = pid_of(store)
    store.close()
    assert not running(pid)
    assert shim.calls()[-1] == "C_Finalize"
    assert store.unseal(1) == secret(1)


@linux
def test_a_library_that_hangs_at_its_end_is_ended(shim, opened) -> None:
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    pid = pid_of(store)
    shim.fail("C_Finalize hang")
    store.close()
    assert not running(pid)


OPEN_AND_WAIT = """
import sys, time
from keysvc.plugin.loading import Plugins
store = Plugins().key_stores.open(sys.argv[1], None, "5" * 32)
store.versions()
print(store._sealer._process._running.process.pid, flush=True)
if len(sys.argv) > 2:
    store.unseal(1)
time.sleep(600)
"""


@linux
def test_the_process_ends_with_its_parent_even_when_that_is_killed(softhsm) -> None:
    with parent(softhsm.url()) as keysvc:
        assert keysvc.stdout
        pid = int(keysvc.stdout.readline())
        assert running(pid)
        keysvc.kill()
        wait_for(lambda: not running(pid))


@linux
def test_a_call_that_hangs_ends_though_nobody_is_left_to_end_it(shim, opened) -> None:
    opened(shim.softhsm.url()).seal(secret(1))
    shim.fail("C_DecryptInit hang")
    with parent(shim.softhsm.url(more="&timeout=1"), "unseal") as keysvc:
        assert keysvc.stdout
        pid = int(keysvc.stdout.readline())
        wait_for(lambda: "C_DecryptInit hang" in shim.trace.read_text("utf-8"))
        keysvc.kill()
        wait_for(lambda: not running(pid), seconds=20)


@linux
def test_the_process_leaves_no_core_file_and_ignores_the_terminals_interrupt(softhsm, opened) -> None:
    store = opened(softhsm.url())
    assert list(store.versions()) == []
    limits = Path(f"/proc/{pid_of(store)}/limits").read_text("utf-8")
    (core,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    assert os.getsid(pid_of(store)) != os.getsid(0)


def test_what_the_library_prints_does_not_disturb(shim, opened, monkeypatch, capfd) -> None:
    shim.fail("C_Login CKR_NONSENSE")
    with pytest.raises(KeyStoreUnavailable):
        opened(shim.softhsm.url()).versions()
    assert capfd.readouterr() == ("", "")


def parent(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", OPEN_AND_WAIT, *arguments], stdout=subprocess.PIPE, text=True)
