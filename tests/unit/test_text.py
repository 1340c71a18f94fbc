"""Text from outside loses its byte order mark, and what is not UTF-8 is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from keysvc.cli.credential import fields_from_file
from keysvc.cli.prompts import passphrase
from keysvc.errors import InvalidInput
from keysvc.plugin.location import Location
from keysvc.plugin.secret_sources import sourced
from keysvc.sso.static_authorizer import read
from keysvc.text import NoText, decoded, read_bytes

MARK = b"\xef\xbb\xbf"


def test_a_byte_order_mark_is_dropped_once() -> None:
    assert decoded(MARK + "ä\n".encode()) == "ä\n"
    assert decoded(b"x") == "x"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(NoText, match=r"UTF-(16|32)"):
        decoded("secret".encode(encoding))


def test_no_error_holds_the_bytes() -> None:
    with pytest.raises(NoText) as caught:
        decoded(b"secret\xff")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_passphrase_a_pin_json_and_toml_are_the_same_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(MARK + b"correct horse battery\r\n")
    assert passphrase("passphrase", path).reveal() == "correct horse battery"
    prompt = sourced(Location.parse(f"pkcs11:token=t?pin-source=file:{path}"), pytest.fail)
    assert prompt("pin").reveal() == "correct horse battery"
    path.write_bytes(MARK + b'{"Password": "x"}')
    assert fields_from_file(path) == {"Password": "x"}
    path.write_bytes(MARK + b"[groups]\r\nusers = ['anna']\r\n")
    assert read(path) == {"users": frozenset({"anna"})}
    path.write_bytes("correct horse".encode("utf-16"))
    with pytest.raises(InvalidInput, match="UTF-16"):
        passphrase("passphrase", path)


def test_a_label_twice_in_a_file_of_fields_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fields.json"
    path.write_text('{"Password": "a", "Password": "b"}')
    with pytest.raises(InvalidInput, match=r"fields\.json has a label twice"):
        fields_from_file(path)


def test_a_file_without_an_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too large"), Path("/dev/zero").open("rb") as file:
        read_bytes(file, 1000)
    (tmp_path / "config").symlink_to("/dev/zero")
    with pytest.raises(InvalidInput, match="too large"):
        passphrase("passphrase", tmp_path / "config")
