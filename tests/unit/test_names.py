from __future__ import annotations

import sys
import time
import unicodedata
from pathlib import Path

import pytest
from name_tables import UNICODE, lowered, module, refused

from keysvc.errors import InvalidInput
from keysvc.model import name_tables, names

KELVIN, ANGSTROM, LONG_S, CAPITAL_SHARP_S = "\u212a", "\u212b", "\u017f", "\u1e9e"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("NORDWIND\\Anna", "nordwind\\ANNA"),
        ("ÄNNA", "änna"),
        ("A\u0308NNA", "änna"),  # decomposed
        ("\u03a3ΩΦ", "\u03c3ωφ"),
        ("J\u030c", "\u01f0"),  # only the lower case is one character
    ],
)
def test_two_spellings_of_one_name_have_one_key(one: str, other: str) -> None:
    assert names.key(one) == names.key(other)
    assert names.same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("weiß", "weiss"),
        (f"WEI{CAPITAL_SHARP_S}", "weiß"),
        (f"{KELVIN}ai", "kai"),
        (f"{ANGSTROM}sa", "åsa"),
        (f"{LONG_S}am", "sam"),
        ("İris", "iris"),
        ("\u0131ris", "iris"),
        ("ﬁnn", "finn"),
        ("\u1e9a", "a\u02be"),
        ("\u00b5", "\u03bc"),
        ("\u03c3", "\u03c2"),
        ("anna", "anna\u200b"),
        ("\u0430nna", "anna"),  # Cyrillic
        ("\u0391nna", "anna"),  # Greek
    ],
)
def test_names_that_only_look_alike_have_two_keys(one: str, other: str) -> None:
    assert not names.same(one, other)
    assert names.key(one, folded=False) != names.key(other, folded=False)


def test_without_folding_only_the_form_of_a_name_does_not_count() -> None:
    assert names.key("A\u0308nna", folded=False) == names.key("Änna", folded=False) == "Änna"
    assert names.key("anna", folded=False) != names.key("Anna", folded=False)


def test_a_key_is_the_key_of_itself() -> None:
    marks = ["", *(chr(point) for point in (0x300, 0x308, 0x30C, 0x323, 0x327, 0x345))]
    for point in [*range(0x3000), *range(0x10400, 0x10430), *range(0xFF00, 0x10000)]:
        for mark in marks:
            key = names.key(chr(point) + mark)
            assert names.key(key) == key


@pytest.mark.parametrize("character", ["\u0378", "\U0001fae8", "\U00010d6e"])  # assigned in no Unicode, in 15, in 16
def test_a_character_that_unicode_14_does_not_know_stays_as_it_is_on_every_python(character: str) -> None:
    assert names.key(f"A{character}\u0308") == f"a{character}\u0308"
    with pytest.raises(InvalidInput, match=f"U\\+{ord(character):04X}"):
        names.check("user", character)


@pytest.mark.parametrize(
    "name", ["", " anna", "anna ", "a" * 257, "an\tna", "an\u200bna", "an\u202ena", "\ud800", f"{KELVIN}ai", "\ue000"]
)
def test_a_new_name_is_printable_short_and_in_the_one_spelling(name: str) -> None:
    with pytest.raises(InvalidInput):
        names.check("user", name)


@pytest.mark.parametrize("name", ["anna", "Straßer", "A\u0308nna", "王小明", "NORDWIND\\anna", "a" * 256, "x/y"])
def test_a_new_name_may_be_in_any_language(name: str) -> None:
    names.check("user", name)


@pytest.mark.parametrize("name", ["A\\\\b", "A\\", "\\b", "A/b", "A\\b\\c", "a;b"])
def test_an_account_that_cannot_exist_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is no account"):
        names.check_account("account", name)


@pytest.mark.parametrize("name", ["anna", "NORDWIND\\anna", "anna@nordwind.example", ".\\anna", "NORDWIND\\SAP Users"])
def test_an_account_has_a_domain_or_none(name: str) -> None:
    names.check_account("account", name)


@pytest.mark.skipif(unicodedata.unidata_version != UNICODE, reason="the tables are made by Python 3.11")
def test_the_tables_are_those_of_their_unicode() -> None:
    assert Path(name_tables.__file__).read_text("utf-8") == module()


@pytest.mark.skipif(unicodedata.unidata_version != UNICODE, reason="the tables are made by Python 3.11")
def test_the_tables_are_read_as_they_were_written() -> None:
    assert {point: point + distance for point, distance in lowered()} == names._lower()
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    assert [ord(character) for character in names._refused().findall(everything)] == list(refused())


def test_a_text_that_is_too_long_for_a_name_is_its_own_key_at_once() -> None:
    marks = "a" + "\u0301\u0323" * 2**19
    began = time.process_time()
    assert names.key(marks) == marks
    assert time.process_time() - began < 0.5
    decomposed = unicodedata.normalize("NFD", "ậ" * names.MAXIMUM_LENGTH)
    assert names.key(decomposed) == "ậ" * names.MAXIMUM_LENGTH
