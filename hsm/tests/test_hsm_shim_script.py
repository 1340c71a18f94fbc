"""What a line of the script does to a call."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from collections import abc
from pathlib import Path

import pytest

from .bench import PATIENCE, SHIM, Bench

TWICE_REMOVED = ["CKR_DEVICE_REMOVED", "CKR_DEVICE_REMOVED"]


def test_without_a_script_everything_reaches_the_module(bench: Bench) -> None:
    application = bench.start().ready()
    assert application("login", bench.pin) == "CKR_OK"
    assert application("generate") == "CKR_OK"
    sealed = application.result("encrypt", b"master".hex(), "00" * 12)
    assert bytes.fromhex(application.result("decrypt", sealed["data"], sealed["iv"])["data"]) == b"master"


@pytest.mark.parametrize(
    ("action", "answer"),
    [("CKR_DEVICE_REMOVED", "CKR_DEVICE_REMOVED"), ("0xa4", "CKR_PIN_LOCKED"), ("0x80000123", "0x80000123")],
)
def test_an_answer_is_given_without_asking_the_module(bench: Bench, action: str, answer: str) -> None:
    bench.write_script(f"C_Login {action}")
    application = bench.start().ready()
    assert application("login", bench.pin) == answer
    bench.write_script()
    assert application("login", bench.pin) == "CKR_OK"  # not CKR_USER_ALREADY_LOGGED_IN: the module never saw the first


def test_after_and_times_choose_the_calls(bench: Bench) -> None:
    application = bench.start().ready()
    bench.write_script("C_GenerateRandom after=1 times=2 CKR_DEVICE_REMOVED")
    assert [application("random") for _ in range(5)] == ["CKR_OK", *TWICE_REMOVED, "CKR_OK", "CKR_OK"]


def test_lines_that_are_used_up_make_room_for_the_next(bench: Bench) -> None:
    application = bench.start().ready()
    bench.write_script("C_GenerateRandom times=1 CKR_HOST_MEMORY", "C_GenerateRandom times=1 CKR_SESSION_CLOSED")
    assert [application("random") for _ in range(3)] == ["CKR_HOST_MEMORY", "CKR_SESSION_CLOSED", "CKR_OK"]


def test_a_star_is_every_function_and_until_ends_the_line(bench: Bench) -> None:
    application = bench.start().ready()
    bench.write_script("* until=C_Finalize CKR_DEVICE_REMOVED")
    assert [application("random"), application("open")] == TWICE_REMOVED  # a new session does not help
    assert application("finalize") == "CKR_OK"
    assert application.ready()("random") == "CKR_OK"


def test_a_line_that_has_not_struck_is_not_over(bench: Bench) -> None:
    application = bench.start().ready()
    bench.write_script("C_GenerateRandom until=C_Finalize CKR_DEVICE_REMOVED")
    assert application("finalize") == "CKR_OK"
    assert application.ready()("random") == "CKR_DEVICE_REMOVED"


def test_counting_starts_anew_when_the_script_is_written_anew(bench: Bench) -> None:
    application = bench.start().ready()
    for _ in range(3):
        bench.write_script("C_GenerateRandom times=1 CKR_DEVICE_REMOVED")
        assert [application("random") for _ in range(2)] == ["CKR_DEVICE_REMOVED", "CKR_OK"]


def test_each_process_counts_for_itself(bench: Bench) -> None:
    bench.write_script("C_GenerateRandom times=1 CKR_DEVICE_REMOVED")
    applications = [bench.start().ready() for _ in range(2)]
    assert [application("random") for application in applications] == TWICE_REMOVED


def test_comments_and_blank_lines_are_nothing(bench: Bench) -> None:
    bench.write_script("# a bad night", "", "  \t", "C_GenerateRandom CKR_DEVICE_ERROR   # the disk")
    assert bench.start().ready()("random") == "CKR_DEVICE_ERROR"


def test_every_recipe_in_the_manual_is_understood(bench: Bench) -> None:
    recipes = (SHIM / "README.md").read_text("utf-8").partition("### Recipes")[2].split("```")[1].strip().splitlines()
    assert len(recipes) > 10
    bench.write_script(*recipes)
    assert bench.start()("initialize") == "CKR_OK"


@pytest.mark.parametrize(
    "line",
    [
        "C_Login",
        "C_Logon CKR_PIN_LOCKED",
        "C_Login CKR_PIN_LOKED",
        "C_Login time=1 CKR_PIN_LOCKED",
        "C_Login times=0 CKR_PIN_LOCKED",
        "C_Login after=-1 CKR_PIN_LOCKED",
        "C_Login until=midnight CKR_PIN_LOCKED",
        "C_Login CKR_PIN_LOCKED times=1",
        "C_Login delay",
        "C_Login delay=soon",
        "C_Login hang=1",
        "C_Login 0x",
        "C_Login 7",
    ],
)
def test_a_line_that_is_not_understood_refuses_to_initialise(bench: Bench, line: str) -> None:
    bench.write_script("# first", line)
    application = bench.start()
    assert [application("initialize"), application("initialize")] == ["CKR_GENERAL_ERROR", "CKR_GENERAL_ERROR"]
    application.process.kill()
    assert application.errors() == f"pkcs11-shim: {bench.script}:2: not understood: {line}\n"


def test_a_script_that_becomes_wrong_fails_every_call_and_can_be_mended(bench: Bench) -> None:
    application = bench.start().ready()
    bench.write_script("C_Logon CKR_PIN_LOCKED")
    assert application("random") == "CKR_GENERAL_ERROR"
    bench.write_script()
    assert application("random") == "CKR_OK"


def test_a_script_that_cannot_be_read_is_refused(bench: Bench) -> None:
    bench.script.mkdir()
    assert bench.start()("initialize") == "CKR_GENERAL_ERROR"


def test_a_hang_lasts_until_the_process_is_killed(bench: Bench) -> None:
    application = bench.start().ready()
    bench.write_script("C_GenerateRandom hang")
    with pytest.raises(TimeoutError):
        application.ask("random", seconds=0.5)
    application.process.kill()
    assert application.status() == -signal.SIGKILL
    assert bench.trace()[-1] == "C_GenerateRandom hang"


@pytest.mark.parametrize(("action", "status"), [("crash", -signal.SIGABRT), ("exit", 1)])
def test_a_crash_and_an_exit_take_the_process_with_them(bench: Bench, action: str, status: int) -> None:
    application = bench.start().ready()
    bench.write_script(f"C_GenerateRandom after=1 {action}")
    assert application("random") == "CKR_OK"
    with pytest.raises(EOFError):
        application("random")
    assert application.status() == status
    assert bench.trace()[-1] == f"C_GenerateRandom {action}"


def test_a_delay_goes_on_to_the_module_and_to_the_next_line(bench: Bench) -> None:
    application = bench.start().ready()
    bench.write_script("C_GenerateRandom delay=300", "C_GenerateRandom times=1 CKR_DEVICE_ERROR")
    for answer in ("CKR_DEVICE_ERROR", "CKR_OK"):
        begin = time.monotonic()
        assert application("random") == answer
        assert time.monotonic() - begin >= 0.3


def test_forgotten_sessions_make_handles_invalid_and_new_ones_work(bench: Bench) -> None:
    application = bench.start().ready()
    assert application("login", bench.pin) == "CKR_OK"
    assert application("generate") == "CKR_OK"
    bench.write_script("C_EncryptInit times=1 forget-sessions")
    assert application("encrypt", "00", "00" * 12) == "CKR_SESSION_HANDLE_INVALID"
    assert application("session") == "CKR_SESSION_HANDLE_INVALID"
    assert application("open") == "CKR_OK"
    assert application("encrypt", "00", "00" * 12) in {"CKR_KEY_HANDLE_INVALID", "CKR_OBJECT_HANDLE_INVALID"}
    assert application("login", bench.pin) == "CKR_OK"


def test_a_forgotten_login_leaves_the_session_open(bench: Bench) -> None:
    application = bench.start().ready()
    assert application("login", bench.pin) == "CKR_OK"
    bench.write_script("C_GenerateKey times=1 forget-login")
    assert application("generate") == "CKR_USER_NOT_LOGGED_IN"
    assert application("login", bench.pin) == "CKR_OK"
    assert application("generate") == "CKR_OK"


@pytest.fixture
def threads(bench: Bench) -> abc.Iterator[subprocess.Popen[str]]:
    """Eight threads that ask for random bytes, 16,000 times in all. SoftHSM, which does not always survive threads,
    is not to be reached."""
    program = bench.folder / "threads"
    source = Path(__file__).with_name("threads.c")
    subprocess.run(["cc", "-I", SHIM, "-pthread", "-o", program, source, "-ldl"], check=True)
    bench.write_script("C_GenerateRandom after=500 times=4000 CKR_DEVICE_ERROR", "C_GenerateRandom CKR_DEVICE_MEMORY")
    pipe, variables = subprocess.PIPE, bench.variables()
    with subprocess.Popen([program, bench.module], env=variables, stdout=pipe, text=True) as process:
        yield process
        process.kill()


def test_several_threads_meet_exactly_as_many_faults_as_written(bench: Bench, threads: subprocess.Popen[str]) -> None:
    assert threads.communicate(timeout=PATIENCE)[0] == "4000 12000 0\n"
    assert bench.trace().count("C_GenerateRandom CKR_DEVICE_ERROR") == 4000
    assert bench.trace().count("C_GenerateRandom CKR_DEVICE_MEMORY") == 12000


def test_a_script_is_read_whole_by_all_threads(bench: Bench, threads: subprocess.Popen[str]) -> None:
    answers = itertools.cycle(["CKR_DEVICE_ERROR", "CKR_DEVICE_MEMORY"])
    while threads.poll() is None:
        bench.write_script(*["C_Login CKR_PIN_LOCKED"] * 100, f"C_GenerateRandom {next(answers)}")
    error, memory, other = map(int, threads.communicate(timeout=PATIENCE)[0].split())
    assert (error + memory, other) == (16000, 0)
    assert error > 0
    assert memory > 0


def test_the_trace_names_calls_and_answers_and_nothing_else(bench: Bench) -> None:
    application = bench.start().ready()
    assert application("login", "00000000x") == "CKR_PIN_INCORRECT"
    assert application("login", bench.pin) == "CKR_OK"
    bench.write_script("C_GenerateRandom 0x80000123")
    application("random")
    assert application("close") == "CKR_OK"
    assert bench.trace() == [
        "C_GetFunctionList CKR_OK",
        "C_Initialize CKR_OK",
        "C_GetSlotList CKR_OK",
        "C_OpenSession CKR_OK",
        "C_Login CKR_PIN_INCORRECT",
        "C_Login CKR_OK",
        "C_GenerateRandom 0x80000123",
        "C_CloseSession CKR_OK",
    ]
    assert os.stat(bench.folder / "trace").st_mode & 0o777 == 0o600


def test_what_goes_through_is_in_no_file_and_on_no_stream(bench: Bench) -> None:
    application = bench.start().ready()
    assert application("login", bench.pin) == "CKR_OK"
    assert application("generate") == "CKR_OK"
    assert application("encrypt", b"a master secret".hex(), "00" * 12) == "CKR_OK"
    bench.write_script("not a line")
    application("login", bench.pin)
    application.process.kill()
    written = application.errors() + "\n".join(bench.trace())
    assert not [secret for secret in (bench.pin, "a master secret") if secret in written]
