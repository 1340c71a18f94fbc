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
        with pytest.raises(InvalidInput, match="line 2: a cell is larger than 65536 bytes, or a quote is missing"):
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


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("#NAME?", "an error"),
        ("#BEZUG!", "an error"),
        ("###", "an error"),
        ("1.23457E+12", "a number that a spreadsheet has shortened"),
        ('"1,23457E+12"', "a number that a spreadsheet has shortened"),
    ],
)
def test_what_a_spreadsheet_made_of_a_value_is_refused_and_json_takes_it(cell: str, what: str) -> None:
    with pytest.raises(InvalidInput, match=f"x line 2: column 4 is {what}"):
        lines(HEAD + f"SAP,anna,A,{cell},1\n")
    value = cell.strip('"')
    (line,) = lines(f'{{"application": "SAP", "user": "anna", "fields": {{"Password": "{value}"}}}}')
    assert line.fields == {"Password": value}


def test_a_spreadsheet_itself_a_json_array_and_utf_32_are_refused_by_name() -> None:
    for content, what in (
        (b"PK\x03\x04\x14\x00\x06\x00\xff", "is a spreadsheet"),
        (b'[{"application": "SAP"}]', "is a JSON array"),
        (HEAD.encode("utf-32"), "it is UTF-32"),
        (HEAD.encode() + b"SAP,anna,A,\xe4,1\n", "line 2 is not UTF-8"),
    ):
        with pytest.raises(InvalidInput, match=f"^x:? {what}"):
            read_lines(content, "x")


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_lines_may_end_as_on_any_system(end: str) -> None:
    table = "sep=;\napplication;user;external_user;Password\nSAP;anna;A;,,,,,,,,\n".replace("\n", end)
    (line,) = lines(table)
    assert (line.number, line.fields) == (3, {"Password": ",,,,,,,,"})
    (line,) = lines(table.removeprefix(f"sep=;{end}"))
    assert line.fields == {"Password": ",,,,,,,,"}
    row = '{"application": "SAP", "user": "%s", "fields": {}}'
    found = lines(end.join(row % user for user in ("anna", "bert")))
    assert [(line.number, line.user) for line in found] == [(1, "anna"), (2, "bert")]


def test_the_delimiter_is_the_one_that_parts_the_needed_columns() -> None:
    (line,) = lines('application;user;"a,b,c,d,e";Password\nSAP;anna;x;y\n')
    assert line.fields == {"a,b,c,d,e": "x", "Password": "y"}


def test_empty_rows_before_the_header_do_not_count() -> None:
    (line,) = lines(f"\n,,,,\n{HEAD}\nSAP,anna,A,pw,\n")
    assert (line.number, line.user) == (5, "anna")


@pytest.mark.parametrize("hidden", ["\u200b", "\u00a0", "\ufeff", "\u200f"])
def test_a_character_that_nobody_sees_is_named_by_its_code_point(hidden: str) -> None:
    code = f"U\\+{ord(hidden):04X}"
    with pytest.raises(InvalidInput, match=f"x line 1: the name of column 4 has {code}"):
        lines(HEAD.replace("Password", f"Pass{hidden}word"))
    with pytest.raises(InvalidInput, match=f"x line 1: the name of column 1 has {code}"):
        lines(f"a{hidden}{HEAD}")
    with pytest.raises(InvalidInput, match=f"x line 2: the user has {code}"):
        lines(HEAD + f"SAP,an{hidden}na,A,pw,\n")


def test_a_quote_without_an_end_is_told_with_the_line_on_which_it_begins() -> None:
    with pytest.raises(InvalidInput, match="x line 3: not well-formed CSV: a cell in quotes has no end"):
        lines(HEAD + 'SAP,anna,A,pw,\nSAP,bert,B,"pw,\nSAP,cleo,C,pw,\n')
    with pytest.raises(InvalidInput, match="x line 2: not well-formed CSV: text follows the closing quote"):
        lines(HEAD + 'SAP,anna,A,"p"w,\n')


def test_a_row_of_several_lines_is_told_with_its_first() -> None:
    with pytest.raises(InvalidInput, match="x line 2: 6 cells, and the header has 5"):
        lines(HEAD + 'SAP,anna,A,"p\nq",1,2\n')


@pytest.mark.parametrize("column", [2, 4])
def test_a_cell_that_the_csv_module_does_not_take_is_too_large(column: int) -> None:
    cells = ["SAP", "anna", "A", "pw", "1"]
    cells[column - 1] = "x" * 140_000
    with pytest.raises(InvalidInput, match="x line 2: a cell is larger than 65536 bytes"):
        lines(HEAD + ",".join(cells) + "\n")


@pytest.mark.parametrize(
    "row",
    [
        '{"application": "SAP", "user": "anna", "user": "bert", "fields": {}}',
        '{"application": "SAP", "user": "anna", "fields": {"PIN": "1", "PIN": "2"}}',
        '{"application": "SAP", "user": "anna", "fields": {"PIN": "1", "P\\u0049N": "2"}}',
    ],
)
def test_a_name_twice_in_a_json_object_is_refused(row: str) -> None:
    with pytest.raises(InvalidInput, match="x line 1: the JSON object has a name twice"):
        lines(row)


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
