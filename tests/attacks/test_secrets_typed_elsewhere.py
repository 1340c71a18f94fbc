"""A secret that somebody types in the wrong place: as an argument, or in the place of a name."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from systems import Keysvc

from keysvc.errors import AccessDenied, InvalidInput, KeysvcError, NotFound
from keysvc.plugin.location import Location
from keysvc.web.asgi.exchange import refusal

SECRET = "hunter2-hunter2"
URLS = [
    f"postgresql://keysvc:{SECRET}@db/keysvc",
    f"mssql://db/keysvc?password={SECRET}",
    f"pkcs11:token=t?pin-value={SECRET}",
]
COMMANDS = [
    ("init", "--dir", "new", "--no-backup", "--mapping-store"),
    ("init", "--dir", "new", "--no-backup", "--key-store"),
    ("join", "https://h:1", "--token-file", "-", "--dir", "new", "--mapping-store"),
    ("mapping-store", "migrate", "--to"),
    ("secret", "reseal", "--to"),
    ("secret", "protect"),
    ("secret", "recover", "--from"),
    ("plugin", "check"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_url_with_a_secret_is_no_argument_and_is_not_repeated(
    tmp_path: Path, keysvc: Keysvc, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = keysvc(*command, URLS[COMMANDS.index(command) % len(URLS)])
    assert refused.status == 1
    assert refused.err.startswith("error: invalid-input: this URL holds a secret")
    assert SECRET not in refused.out + refused.err
    assert not (tmp_path / "new").exists()


def test_a_url_that_says_where_its_secret_is_holds_none() -> None:
    assert all(Location.parse(url).holds_secret for url in URLS)
    for url in (
        "mssql://keysvc@db/keysvc?password-source=file:/etc/p",
        "pkcs11:token=t?pin-source=env:PIN",
        "file:///x",
    ):
        assert not Location.parse(url).holds_secret


@pytest.mark.parametrize("error", [InvalidInput(f"{SECRET!r} is no name"), NotFound(f"there is no user {SECRET}")])
def test_what_is_refused_because_of_what_it_says_is_not_in_the_log(
    error: KeysvcError, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert SECRET.encode() in refusal(error, "/v1/credential", is_known=True).content
    assert len(caplog.records) == 1
    assert all(SECRET not in f"{vars(record)}" for record in caplog.records)


def test_what_a_known_caller_may_not_do_is_in_the_log_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refusal(AccessDenied("web-01 may not do that"), "/v1/rotation", is_known=True)
    assert "web-01 may not do that" in f"{vars(caplog.records[0])}"
