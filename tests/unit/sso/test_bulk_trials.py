"""Files as people and spreadsheets write them: the samples of the field trials."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from systems import System

from keysvc.errors import CannotDecrypt, InvalidInput
from keysvc.model import AuditTrail, Field, Flags, Guard
from keysvc.plugin.changes import PutCredential
from keysvc.sso import SSO
from keysvc.sso.credential_files import Line, prepared, read_lines
from keysvc.sso.credential_writer import Stored

SAMPLES = Path(__file__).parents[2] / "samples/trials"
HEAD = "application,user,external_user,Password,PIN\n"


@pytest.fixture
def sso(system: System) -> SSO:
    fields = [Field(label, masked=label != "User") for label in ("User", "Password", "PIN")]
    system.administration().create_application("SAP", fields, flags=Flags(enabled=True))
    system.start()
    return system.sso()[0]


def run(sso: SSO, content: bytes, *, dry_run: bool = False, replace_all: bool = False) -> Stored:
    news = prepared(read_lines(content, "x"), "x", sso.application, sso.names)
    (stored,) = sso.store_credentials("SAP", news["SAP"], dry_run=dry_run, replace_all=replace_all)
    return stored


def test_a_change_of_one_field_keeps_the_others_and_looks_nothing_up(sso: SSO, system: System) -> None:
    run(sso, (SAMPLES / "06-0-first.csv").read_bytes())
    before = len(system.store().audit(AuditTrail.LOOKUPS))
    assert sso.change_credential("SAP", user="NORDWIND\\gina", pin="43") == 1
    assert len(system.store().audit(AuditTrail.LOOKUPS)) == before
    assert fields(sso) == ("GINA", {"Password": "secret1", "PIN": "43"})


def test_a_change_of_a_credential_that_does_not_decrypt_is_refused_and_a_replacement_is_not(
    sso: SSO, system: System
) -> None:
    run(sso, (SAMPLES / "06-0-first.csv").read_bytes())
    store = system.store()
    row = store.credential("SAP", "NORDWIND\\gina")
    assert row is not None
    store.commit([PutCredential(replace(row, ciphertext=row.ciphertext[:-1] + b"?"))], Guard())
    with pytest.raises(CannotDecrypt, match="a merge would lose it"):
        sso.change_credential("SAP", user="NORDWIND\\gina", pin="43")
    sso.set_credential("SAP", user="NORDWIND\\gina", pin="43")
    assert fields(sso)[1] == {"PIN": "43"}


def lines(text: str) -> list[Line]:
    return list(read_lines(text.encode(), "x"))


def fields(sso: SSO) -> tuple[str, dict[str, str]]:
    found = sso.credential("SAP", user="NORDWIND\\gina", fresh=True)
    return found.external_user, {label: value.reveal() for label, value in found.fields.items()}


@pytest.mark.parametrize(
    ("name", "external_user"), [("06-1-empty-password.csv", "GINA"), ("06-2-no-password-column.csv", "GINA2")]
)
def test_an_empty_cell_or_an_absent_column_keeps_the_stored_value(sso: SSO, name: str, external_user: str) -> None:
    run(sso, (SAMPLES / "06-0-first.csv").read_bytes())
    run(sso, (SAMPLES / name).read_bytes())
    assert fields(sso) == (external_user, {"Password": "secret1", "PIN": "42"})


def test_an_empty_value_or_no_fields_in_json_keep_the_stored_values(sso: SSO) -> None:
    run(sso, (SAMPLES / "06-0-first.csv").read_bytes())
    for given in ("{}", '{"Password": ""}', '{"PIN": "42"}'):
        line = f'{{"application": "SAP", "user": "NORDWIND\\\\gina", "fields": {given}}}'
        assert run(sso, line.encode()) == Stored(unchanged=1)
    assert fields(sso) == ("GINA", {"Password": "secret1", "PIN": "42"})


def test_a_replacement_deletes_what_a_row_lacks_and_a_dry_run_lists_what_would_be_lost(sso: SSO) -> None:
    run(sso, (SAMPLES / "06-0-first.csv").read_bytes())
    row = (HEAD + "SAP,NORDWIND\\gina,GINA,secret2,\n").encode()
    dry = run(sso, row, dry_run=True, replace_all=True)
    assert dry.lost == ("NORDWIND\\gina: PIN is deleted", "NORDWIND\\gina: Password is replaced")
    assert run(sso, row, dry_run=True).lost == ("NORDWIND\\gina: Password is replaced",)
    assert fields(sso)[1] == {"Password": "secret1", "PIN": "42"}
    run(sso, row, replace_all=True)
    assert fields(sso)[1] == {"Password": "secret2"}


def test_a_blank_before_a_quote_is_no_part_of_the_value() -> None:
    found = read_lines((SAMPLES / "07-blank-before-quote.csv").read_bytes(), "x")
    assert [(line.user, line.fields["Password"]) for line in found] == [
        ("NORDWIND\\dora", "correct horse"),
        ("NORDWIND\\emil", " battery staple"),
    ]
    (inside,) = lines(HEAD + 'SAP,"a, ""b",B,"x, ""y"", z",\n')
    assert (inside.user, inside.fields) == ('a, "b', {"Password": 'x, "y", z'})


def test_a_cell_of_many_quotes_takes_no_more_memory_than_its_text_is_long() -> None:
    content = b'application,user,Password\nSAP,anna, "' + b'""' * 2**19 + b'"\n'
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match="line 2: not well-formed"):
            read_lines(content, "file")
        assert tracemalloc.get_traced_memory()[1] < 16 * len(content)
    finally:
        tracemalloc.stop()


def test_a_line_that_names_the_separator_is_understood() -> None:
    (found,) = read_lines((SAMPLES / "08-sep-line.csv").read_bytes(), "x")
    assert (found.number, found.application, found.fields) == (3, "SAP", {"Password": "pw"})


def test_empty_columns_without_a_name_at_the_end_do_not_count() -> None:
    (found,) = lines("application,user,Password,,\nSAP,anna,pw,,\n")
    assert found.fields == {"Password": "pw"}
    with pytest.raises(InvalidInput, match="5 cells, and the header has 3"):
        lines("application,user,Password,,\nSAP,anna,pw,,x\n")


def test_the_formula_that_a_spreadsheet_writes_is_refused_with_its_column() -> None:
    with pytest.raises(InvalidInput, match="x line 2: column 5 is a formula of a spreadsheet"):
        lines(HEAD + 'SAP,anna,A,pw,="0012"\n')


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(InvalidInput, match="it is UTF-16"):
        read_lines(HEAD.encode(encoding), "x")


def test_a_field_that_is_too_large_is_told_with_line_and_column() -> None:
    with pytest.raises(InvalidInput, match="x line 2: column 4 is larger than 65536 bytes"):
        lines(HEAD + f"SAP,anna,A,{'x' * 65537},1\n")


def test_all_faults_of_a_file_are_in_one_report(sso: SSO) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(sso, (HEAD + "NONE,a,A,x,\nSAP,b,B,x,\nSAP,B,B,x,\nNONE,c,C,x,\n").encode())
    assert str(caught.value).startswith("3 faults: x line 2: ")
    assert "x line 4: " in str(caught.value)
    assert "x line 5: " in str(caught.value)
    with pytest.raises(InvalidInput, match=r"2 faults: x line 2: .* \| x line 3: "):
        run(sso, (HEAD + "SAP,a,,x,\nSAP,b,,x,\n").encode())


def test_a_file_whose_every_line_is_wrong_is_given_up_after_a_thousand() -> None:
    with pytest.raises(InvalidInput, match=r"^1000 faults: "):
        lines(HEAD + "SAP,anna\n" * 5000)
