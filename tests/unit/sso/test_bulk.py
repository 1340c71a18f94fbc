"""Many credentials from a file: all are gone through before one is stored, and no error shows a value."""

from __future__ import annotations

import json
import threading
from collections import abc
from dataclasses import replace
from time import perf_counter

import pyrage
import pytest
from systems import System, eventually

from keysvc.crypto import age
from keysvc.errors import InvalidInput, KeysvcError, SystemDisabled, WrongPassphrase
from keysvc.master.switch import switch_system
from keysvc.model import ApplicationType, AuditTrail, Field, Flags, Guard, SecretBytes, SecretText
from keysvc.plugin.changes import Change, PutCredential
from keysvc.sso import SSO
from keysvc.sso.credential_files import prepared, read_lines
from keysvc.sso.credential_writer import BATCH, Stored

SECRET = "S3cret!"
CSV = f"""application,user,external user,Password,PIN
SAP,anna,,{SECRET}a,
SAP,bert,BERTRAM,"{SECRET}, ""b"" ",17
HR,anna,A,{SECRET}c,
"""
JSON_LINES = "\n".join(
    json.dumps(line)
    for line in (
        {"application": "SAP", "user": "anna", "fields": {"Password": f"{SECRET}a"}},
        {
            "application": "SAP",
            "user": "bert",
            "external_user": "BERTRAM",
            "fields": {"password": f'{SECRET}, "b" ', "PIN": "17"},
        },
        {"application": "HR", "user": "anna", "external_user": "A", "fields": {"Password": f"{SECRET}c"}},
    )
)


@pytest.fixture
def sso(system: System) -> SSO:
    """SAP with anna and bert, HR without mappings, and a store of property bags."""
    administration = system.administration()
    user, password, pin = (Field(label, masked=label != "User") for label in ("User", "Password", "PIN"))
    administration.create_application("SAP", [user, password, pin], flags=Flags(enabled=True))
    administration.create_application("HR", [user, password], flags=Flags(enabled=True))
    administration.create_application("BAGS", [user, password], type_=ApplicationType.CONFIG_STORE)
    for name in ("anna", "bert"):
        administration.set_mapping("SAP", name, name.upper(), enable=True)
    system.start()
    return system.sso()[0]


def run(sso: SSO, content: str | bytes, *, dry_run: bool = False, replace_all: bool = False) -> Stored:
    raw = content.encode() if isinstance(content, str) else content
    news = prepared(read_lines(raw, "x"), "x", sso.application, sso.names)
    counts = [0, 0, 0]
    for application, credentials in news.items():
        for stored in sso.store_credentials(application, credentials, dry_run=dry_run, replace_all=replace_all):
            counts = [counts[0] + stored.created, counts[1] + stored.updated, counts[2] + stored.unchanged]
    return Stored(*counts)


@pytest.mark.parametrize(
    "content",
    [
        CSV,
        CSV.replace("\n", "\r\n").encode("utf-8-sig"),
        CSV.encode("utf-16"),
        JSON_LINES,
        JSON_LINES + "\n\n",
    ],
)
def test_a_file_is_stored_and_a_second_time_changes_nothing(sso: SSO, system: System, content: str | bytes) -> None:
    assert run(sso, content, dry_run=True) == Stored(created=3)
    assert system.store().rows_by_version() == {}
    assert run(sso, content) == Stored(created=3)
    found = sso.credential("SAP", user="bert")
    assert {label: value.reveal() for label, value in found.fields.items()} == {
        "Password": f'{SECRET}, "b" ',
        "PIN": "17",
    }
    assert (found.external_user, sso.credential("HR", user="anna").external_user) == ("BERTRAM", "A")
    revision = found.revision
    assert run(sso, content) == Stored(unchanged=3)
    assert sso.credential("SAP", user="bert", fresh=True).revision == revision
    sso.set_credential("SAP", user="anna", password="other")
    assert run(sso, content) == Stored(updated=1, unchanged=2)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_what_a_spreadsheet_writes_is_read(sso: SSO, delimiter: str) -> None:
    lines = [["Application", "USER", "External_User", "password"], ["HR", " anna ", "A", f" {SECRET} "]]
    assert run(sso, "\r\n".join(delimiter.join(line) for line in lines)) == Stored(created=1)
    assert sso.credential("HR", user="anna")["password"].reveal() == f" {SECRET} "


HEAD = "application,user,external_user,Password\n"
GOOD = f"HR,anna,A,{SECRET}\n"


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (f"{SECRET},x\n", 1, "no columns application and user"),
        (f"application,user,Password,password\nHR,a,{SECRET},{SECRET}\n", 1, "a column twice"),
        (f"application,user,{SECRET}\nHR,a,x\n", 2, "has not those fields"),
        (HEAD + GOOD + f"HR,bert,B,{SECRET},{SECRET}\n", 3, "5 cells"),
        (HEAD + GOOD + f'HR,bert,B,"{SECRET}\n', 3, "not well-formed CSV"),
        (HEAD + GOOD + f"NONE,bert,B,{SECRET}\n", 3, "there is no application"),
        (HEAD + GOOD + f"BAGS,bert,B,{SECRET}\n", 3, "holds property bags"),
        (HEAD + GOOD + f"HR,,B,{SECRET}\n", 3, "the user is not"),
        (HEAD + GOOD + f"HR,{'x' * 257},B,{SECRET}\n", 3, "the user is not"),
        (HEAD + GOOD + f"HR,Anna,B,{SECRET}\n", 3, "the same application and user are on line 2"),
        (HEAD + GOOD + f"HR,bert,,{SECRET}\n", 3, "has no mapping"),
        (HEAD + GOOD + f"HR,.\\bert,B,{SECRET}\n", 3, "an account of one machine"),
        ('{"application": "HR"}\n', 1, "no JSON object"),
        (f'{JSON_LINES}\n{{"application": "HR", "user": "b", "fields": "{SECRET}"}}\n', 4, "no JSON object"),
        (f'{JSON_LINES}\n{{"application": "HR", "user": "b", "{SECRET}": 1}}\n', 4, "no JSON object"),
        (f'{JSON_LINES}\n{{"application": "HR", "user": "b", "fields": {{"{SECRET}": "x"}}}}', 4, "not those fields"),
    ],
)
def test_one_fault_is_told_with_its_line_and_nothing_is_stored(
    sso: SSO, system: System, content: str, line: int, what: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(sso, content, dry_run=True)
    assert str(caught.value).startswith(f"x line {line}: ")
    assert what in str(caught.value)
    assert SECRET not in f"{caught.value} {caught.value.hint}"
    assert system.store().rows_by_version() == {}


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xff\xff", b"\x00\x80"])
def test_what_is_no_text_is_refused(sso: SSO, content: bytes) -> None:
    with pytest.raises(InvalidInput):
        run(sso, content)


def test_a_host_group_takes_many_external_users_of_its_account(sso: SSO, system: System) -> None:
    host = {"type_": ApplicationType.HOST_GROUP, "user_accounts": ["batch"], "flags": Flags(enabled=True)}
    fields = [Field("User", masked=False), Field("Password", masked=True)]
    system.administration().create_application("HOST", fields, **host)
    assert run(sso, HEAD + "HOST,batch,JOB1,one\nHOST,batch,JOB2,two\n") == Stored(created=2)
    assert sso.lookup("HOST", external_user="JOB2", password="two").user == "batch"


def many(count: int, password: str = SECRET) -> str:
    return HEAD + "".join(f"HR,user-{number:05},U{number},{password}{number}\n" for number in range(count))


def test_batches_are_a_commit_and_an_audit_entry_each(sso: SSO, system: System) -> None:
    assert run(sso, many(2 * BATCH + 1)) == Stored(created=2 * BATCH + 1)
    entries = [entry for entry in system.store().audit(AuditTrail.MEMBERS) if entry.action == "credential.imported"]
    assert [entry.detail["credentials"] for entry in entries] == [BATCH, BATCH, 1]
    assert (entries[0].actor, entries[0].subject) == ("web-01", f"HR: user-00000 … user-{BATCH - 1:05}")
    assert SECRET not in repr(entries)


def test_a_version_that_becomes_active_meanwhile_is_used(sso: SSO, system: System) -> None:
    news = prepared(read_lines(many(3 * BATCH).encode(), "x"), "x", sso.application, sso.names)["HR"]
    steps = sso.store_credentials("HR", news)
    next(steps)
    assert system.master is not None
    system.master.rotate("administrator")
    eventually(lambda: [r.state for r in system.store().versions()] == ["retiring", "active"])
    assert sum(stored.created for stored in steps) == 2 * BATCH
    eventually(lambda: system.store().rows_by_version() == {2: 3 * BATCH})
    assert sso.credential("HR", user="user-01400")["password"].reveal() == f"{SECRET}1400"


class Interrupting:
    """A mapping store in which another SSO server stores something right before the first commit of an import."""

    def __init__(self, store: object, interrupt: abc.Callable[[], object]) -> None:
        self._store, self._interrupt = store, interrupt

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def commit(self, changes: abc.Sequence[Change], guard: Guard) -> None:
        if threading.current_thread() is threading.main_thread() and len(changes) > 3:
            interrupt, self._interrupt = self._interrupt, lambda: None
            interrupt()
        self._store.commit(changes, guard)


def test_who_stores_meanwhile_is_not_in_the_way(sso: SSO, system: System) -> None:
    run(sso, many(300, "old "))
    other, _ = system.sso("web-02")

    def interrupt() -> None:
        other.set_credential("HR", user="user-00007", password="theirs")

    third, _ = system.sso("web-03", store=Interrupting(system.store(), interrupt))
    assert run(third, many(300)) == Stored(updated=300)
    assert sso.credential("HR", user="user-00007", fresh=True)["password"].reveal() == f"{SECRET}7"


def test_a_row_whose_stored_credential_does_not_decrypt_is_refused_by_a_merge_and_replaced_on_request(
    sso: SSO, system: System
) -> None:
    sso.set_credential("HR", user="anna", external_user="A", password=SECRET)
    row = system.store().credential("HR", "anna")
    assert row is not None
    broken = replace(row, ciphertext=row.ciphertext[:-1] + bytes([row.ciphertext[-1] ^ 1]))
    system.store().commit([PutCredential(broken)], Guard())
    with pytest.raises(InvalidInput, match=r"^x line 2: the stored credential of anna for HR does not decrypt"):
        run(sso, HEAD + GOOD)
    assert run(sso, HEAD + GOOD, replace_all=True) == Stored(updated=1)
    assert sso.credential("HR", user="anna", fresh=True)["password"].reveal() == SECRET


def test_a_disabled_system_takes_none(sso: SSO, system: System) -> None:
    switch_system(system.store(), "administrator", enabled=False)
    other, _ = system.sso("web-02")
    with pytest.raises(SystemDisabled):
        run(other, CSV)


def test_a_system_that_is_disabled_meanwhile_takes_no_more(sso: SSO, system: System) -> None:
    steps = sso.store_credentials(
        "HR", prepared(read_lines(many(2 * BATCH).encode(), "x"), "x", sso.application, sso.names)["HR"]
    )
    next(steps)
    switch_system(system.store(), "administrator", enabled=False)
    eventually(lambda: not sso._lookups.settings.enabled)
    with pytest.raises(SystemDisabled):
        next(steps)
    assert system.store().rows_by_version() == {1: BATCH}


def test_five_thousand_take_seconds(sso: SSO) -> None:
    began = perf_counter()
    assert run(sso, many(5000)) == Stored(created=5000)
    assert run(sso, many(5000)) == Stored(unchanged=5000)
    assert perf_counter() - began < 60


# -- encrypted files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("armored", [False, True])
def test_a_file_encrypted_for_a_passphrase_or_a_key_opens(armored: bool) -> None:
    key, another = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    for_key = pyrage.encrypt(CSV.encode(), [key.to_public()], armored=armored)
    for_passphrase = age.encrypt(CSV.encode(), SecretText("open sesame"), work_factor=4)
    assert age.is_encrypted(for_key)
    assert age.is_encrypted(for_passphrase)
    assert not age.is_encrypted(CSV.encode())
    key_file = f"# created: 2026-11-25\n# public key: {key.to_public()}\n{key}\n".encode()
    assert age.decrypt_with_key(for_key, SecretBytes(key_file), "x") == CSV.encode()
    assert age.decrypt(for_passphrase, SecretText("open sesame"), "x") == CSV.encode()
    refusals: list[tuple[type[KeysvcError], abc.Callable[[], object]]] = [
        (WrongPassphrase, lambda: age.decrypt_with_key(for_key, SecretBytes(str(another).encode()), "x")),
        (WrongPassphrase, lambda: age.decrypt(for_passphrase, SecretText("open barley"), "x")),
        (WrongPassphrase, lambda: age.decrypt(for_passphrase, SecretText("\ud800"), "x")),
        (InvalidInput, lambda: age.decrypt_with_key(for_key, SecretBytes(b"no key"), "x")),
        (InvalidInput, lambda: age.decrypt_with_key(for_key[:-9], SecretBytes(key_file), "x")),
    ]
    for kind, call in refusals:
        with pytest.raises(kind) as caught:
            call()
        assert "sesame" not in str(caught.value)
        assert str(another)[20:] not in str(caught.value)
