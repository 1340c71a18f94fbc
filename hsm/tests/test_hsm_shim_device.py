"""The device that the shim pretends to be: limits, mechanisms, slots, wrong PINs, forks."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from .bench import RESULTS, SHIM, Bench

P11_KIT = Path("/usr/include/p11-kit-1/p11-kit/pkcs11.h")
AES_CBC_PAD, AES_GCM = 0x1085, 0x1087
COUNT_LOW, FINAL_TRY, LOCKED = 0x10000, 0x20000, 0x40000
WRITE_PROTECTED = 0x2


def test_one_session_too_many_is_refused_until_one_is_closed(bench: Bench) -> None:
    application = bench.start(max_sessions="2").ready()
    assert [application("open"), application("open")] == ["CKR_OK", "CKR_SESSION_COUNT"]
    assert [application("close"), application("open"), application("open")] == ["CKR_OK", "CKR_OK", "CKR_SESSION_COUNT"]
    assert application.result("token")["max_sessions"] == 2


@pytest.mark.parametrize("verbs", [["close_all"], ["finalize", "initialize", "find_slot"]])
def test_sessions_that_end_together_make_room_together(bench: Bench, verbs: list[str]) -> None:
    application = bench.start(max_sessions="2").ready()
    assert application("open") == "CKR_OK"
    assert {application(verb) for verb in verbs} == {"CKR_OK"}
    assert [application("open") for _ in range(3)] == ["CKR_OK", "CKR_OK", "CKR_SESSION_COUNT"]


def test_a_hidden_mechanism_is_neither_listed_nor_usable(bench: Bench) -> None:
    application = bench.start(hide_mechanisms="0x1087,0x210a").ready()
    assert application("login", bench.pin) == "CKR_OK"
    assert application("generate") == "CKR_OK"
    assert AES_GCM not in application.result("mechanisms")
    assert AES_CBC_PAD in application.result("mechanisms")
    assert application("mechanism", AES_GCM) == "CKR_MECHANISM_INVALID"
    assert application("mechanism", AES_CBC_PAD) == "CKR_OK"
    assert application("encrypt", "00", "00" * 12) == "CKR_MECHANISM_INVALID"
    assert application("decrypt", "00", "00" * 12) == "CKR_MECHANISM_INVALID"


def test_a_device_that_makes_the_iv_writes_it_over_the_callers(bench: Bench) -> None:
    application = bench.start().ready()
    assert application("login", bench.pin) == "CKR_OK"
    assert application("generate") == "CKR_OK"
    bench.write_script("C_EncryptInit overwrite-iv")
    sealed = application.result("encrypt", b"master".hex(), "00" * 12)
    assert sealed["iv"] != "00" * 12
    assert application.result("encrypt", b"master".hex(), "00" * 12)["iv"] != sealed["iv"]
    assert bytes.fromhex(application.result("decrypt", sealed["data"], sealed["iv"])["data"]) == b"master"
    assert application("decrypt", sealed["data"], "00" * 12) != "CKR_OK"


def test_slots_move_when_initialised_again_and_everything_moves_with_them(bench: Bench) -> None:
    application = bench.start().ready()
    before = application.result("find_slot")
    bench.write_script("C_Initialize renumber-slots=3")
    assert application("finalize") == "CKR_OK"
    assert application("initialize") == "CKR_OK"
    assert application("open") == "CKR_SLOT_ID_INVALID"  # the number from before
    assert application.result("find_slot") == before + 3
    assert application("open") == "CKR_OK"
    assert application.result("session") == before + 3
    assert {application(verb) for verb in ("slot", "token", "mechanisms", "close_all")} == {"CKR_OK"}


def test_a_token_can_say_what_it_is_not(bench: Bench) -> None:
    bench.write_script(f"C_GetTokenInfo times=1 token-flags={WRITE_PROTECTED:#x}")
    application = bench.start().ready()
    assert application.result("token")["flags"] & WRITE_PROTECTED
    assert not application.result("token")["flags"] & WRITE_PROTECTED


def test_wrong_pins_are_counted_over_processes_until_the_token_is_locked(bench: Bench) -> None:
    settings = {"wrong_pins": str(bench.folder / "wrong-pins")}
    seen = []
    for _ in range(3):
        application = bench.start(**settings).ready()
        seen.append(application.result("token")["flags"] & (COUNT_LOW | FINAL_TRY | LOCKED))
        assert application("login", "wrong") == "CKR_PIN_INCORRECT"
    assert seen == [0, COUNT_LOW, COUNT_LOW | FINAL_TRY]
    application = bench.start(**settings).ready()
    assert application.result("token")["flags"] & LOCKED
    assert application("login", bench.pin) == "CKR_PIN_LOCKED"


def test_a_right_pin_forgives_wrong_ones(bench: Bench) -> None:
    settings = {"wrong_pins": str(bench.folder / "wrong-pins"), "max_wrong_pins": "2"}
    for _ in range(3):
        application = bench.start(**settings).ready()
        assert application("login", "wrong") == "CKR_PIN_INCORRECT"
        assert application("login", bench.pin) == "CKR_OK"


def test_a_forked_child_must_initialise_itself(bench: Bench) -> None:
    application = bench.start(refuse_forked="1").ready()
    answers = application.result("in_child", "random", "open", "initialize", "find_slot", "open", "random")
    assert [RESULTS[answer] for answer in answers] == ["CKR_CRYPTOKI_NOT_INITIALIZED"] * 2 + ["CKR_OK"] * 4
    assert application("random") == "CKR_OK"  # the parent is none the worse


def test_without_the_setting_a_forked_child_is_left_to_the_module(bench: Bench) -> None:
    assert bench.start().ready().result("in_child", "random") == [0]  # SoftHSM's own answer, which hides the mistake


def test_a_missing_function_is_a_null_pointer(bench: Bench) -> None:
    bench.write_script("C_GenerateRandom missing")
    application = bench.start().ready()
    assert application("random") is None
    assert application("session") == "CKR_OK"


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_sessions", "many"), ("hide_mechanisms", "AES"), ("refuse_forked", ""), ("max_wrong_pins", "-1")],
)
def test_a_setting_that_is_not_understood_is_refused(bench: Bench, name: str, value: str) -> None:
    application = bench.launch(**{name: value})
    assert application("load") == "CKR_GENERAL_ERROR"
    application.process.kill()
    assert application.errors() == f"pkcs11-shim: PKCS11_SHIM_{name.upper()}: not understood: {value}\n"


def test_a_module_that_is_not_there_is_named(bench: Bench) -> None:
    application = bench.launch(module="/nowhere/libhsm.so")
    assert application("load") == "CKR_GENERAL_ERROR"
    application.process.kill()
    assert "/nowhere/libhsm.so" in application.errors()


def test_the_shim_does_not_stand_before_itself(bench: Bench) -> None:
    application = bench.launch(module=str(bench.module))
    assert application("load") == "CKR_GENERAL_ERROR"
    application.process.kill()
    assert "names the shim itself" in application.errors()


def test_one_symbol_is_exported(shim: Path) -> None:
    library = ctypes.CDLL(str(shim))
    assert hasattr(library, "C_GetFunctionList")
    assert not [name for name in ("C_Initialize", "C_Login", "module", "script_effects") if hasattr(library, name)]


def test_functions_and_return_values_are_those_of_the_standard() -> None:
    if not P11_KIT.exists():
        pytest.skip("no header to compare with: install libp11-kit-dev (Debian), p11-kit-devel (Fedora)")
    header = P11_KIT.read_text("utf-8")
    listed = header[header.index("struct ck_function_list\n{") :]
    ours = re.findall(r"^FUNCTION\(\w+, (\w+)", (SHIM / "functions.h").read_text("utf-8"), re.MULTILINE)
    assert ours == re.findall(r"^  CK_C_\w+ (C_\w+);", listed, re.MULTILINE)
    theirs = {name: int(value, 0) for name, value in re.findall(r"#define\s+(CKR_\w+)\s+\((\w+)UL\)", header)}
    added_by_version_3 = {"CKR_TOKEN_RESOURCE_EXCEEDED", "CKR_OPERATION_CANCEL_FAILED", "CKR_KEY_EXHAUSTED"}
    assert {name: value for value, name in RESULTS.items() if name not in added_by_version_3} == theirs
