"""XML from outside is safe, small and well-formed, or refused with its line."""

from __future__ import annotations

import time

import pytest

from keysvc.entsso import document
from keysvc.entsso.document import parse
from keysvc.errors import InvalidInput


def refusal(content: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse(content, "x.xml")
    return str(caught.value)


def test_a_node_knows_its_line_its_children_and_its_text() -> None:
    root = parse(b'<?xml version="1.0"?>\n<SSO>\n<!-- a comment -->\n <One A="1"/>\n <two> t&amp;t </two>\n</SSO>', "x")
    one, two = root.children
    assert (root.name, root.line, root.text) == ("sso", 2, "")
    assert (one.name, one.title, one.line, dict(one.attributes)) == ("one", "One", 4, {"a": "1"})
    assert (two.line, two.text) == (5, "t&t")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_utf_8_and_utf_16_are_read(encoding: str) -> None:
    assert parse("<sso>Zoll über ATLAS €</sso>".encode(encoding), "x").text == "Zoll über ATLAS €"


def test_the_declared_encoding_is_read() -> None:
    text = '<?xml version="1.0" encoding="windows-1252"?><sso>über €</sso>'
    assert parse(text.encode("cp1252"), "x").text == "über €"


@pytest.mark.parametrize("encoding", ["klingon", "zlib", "utf-7", "idna", "undefined"])
def test_an_encoding_that_cannot_be_read_is_refused(encoding: str) -> None:
    assert refusal(f'<?xml version="1.0" encoding="{encoding}"?><sso>\xe4</sso>'.encode("latin-1")).startswith("x.xml ")


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"", 1, "no element found"),
        (b"   \n\n", 3, "no element found"),
        (b"<sso>\n<a>\n", 3, "no element found"),
        (b"<sso>\n</a>", 2, "mismatched tag"),
        (b"<sso/>\n<sso/>", 2, "junk after document element"),
        (b"<sso>\n<a b='1' b='2'/></sso>", 2, "duplicate attribute"),
        (b"<sso>\n<a b='1' B='2'/></sso>", 2, "has the attribute 'B' twice"),
        (b"<sso>\n&nobody;</sso>", 2, "undefined entity"),
        (b"<sso>\n<a>1</a>text</sso>", 1, "text between"),
        (b"\x00\x01\x02\xff\xfe binary", 1, "not well-formed"),
        (b"<sso>\n\xff\xff</sso>", 2, "not well-formed"),
        (b"PK\x03\x04", 1, "not well-formed"),
    ],
)
def test_what_is_not_well_formed_is_refused_with_its_line(content: bytes, line: int, reason: str) -> None:
    message = refusal(content)
    assert message.startswith(f"x.xml line {line}: ")
    assert reason in message


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE sso [<!ENTITY a "aaa">]>',
        '<!DOCTYPE sso [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE sso [<!ENTITY % a SYSTEM "http://127.0.0.1:1/x.dtd"> %a;]>',
        '<!DOCTYPE sso SYSTEM "http://127.0.0.1:1/x.dtd">',
        "<!DOCTYPE sso>",
    ],
)
def test_a_doctype_is_refused_whatever_it_declares(declaration: str) -> None:
    message = refusal(f'<?xml version="1.0"?>\n\n{declaration}\n<sso>&a;</sso>'.encode())
    assert message.startswith("x.xml line 3: a DOCTYPE is not allowed")


def test_a_billion_laughs_are_refused_at_once() -> None:
    levels = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(12))
    started = time.monotonic()
    assert "DOCTYPE" in refusal(f'<!DOCTYPE sso [<!ENTITY l0 "lol">{levels}]><sso>&l12;</sso>'.encode())
    assert time.monotonic() - started < 20  # at once, on a quiet machine


def test_deep_nesting_is_refused() -> None:
    assert "nested more than 16 deep" in refusal(b"<a>" * 200_000)
    assert parse(b"<a>" * 16 + b"</a>" * 16, "x").name == "a"


def test_too_many_elements_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAXIMUM_ELEMENTS", 10)
    assert refusal(b"<a>" + b"<b/>\n" * 10 + b"</a>").startswith("x.xml line 10: more than 10 elements")


def test_a_file_that_is_too_large_is_refused_before_it_is_parsed() -> None:
    assert refusal(b" " * (64 * 2**20 + 1)) == "x.xml is larger than 64 MiB"


def test_what_an_error_shows_of_a_file_cannot_move_the_cursor() -> None:
    assert document.shown("a\x1b[2J\u202e" + "b" * 100) == "'a?[2J?" + "b" * 54 + "…'"
