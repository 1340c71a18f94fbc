"""A secret that somebody types in the wrong place: as an argument, or in the place of a name."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest
from systems import SYSTEM_ID, Keysvc, System
from web_servers import serving_master

from keysvc.errors import AccessDenied, InvalidInput, KeysvcError, NotFound
from keysvc.model import AuditTrail, Role, host_name
from keysvc.plugin.location import Location
from keysvc.sso.permissions import Principal
from keysvc.sso.requests.applications import CreateApplication, DeleteApplication
from keysvc.sso.requests.credentials import LookUpCredential
from keysvc.sso.requests.request import Request
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


@pytest.mark.parametrize(
    "request_",
    [
        LookUpCredential("SAP", SECRET),
        LookUpCredential(SECRET, "anna"),
        DeleteApplication(SECRET),
        CreateApplication(SECRET, ()),
    ],
    ids=lambda request: type(request).__name__,
)
def test_a_name_that_nobody_has_is_not_in_the_audit_nor_in_the_log_of_what_was_denied(
    system: System, request_: Request[object], caplog: pytest.LogCaptureFixture
) -> None:
    system.with_users("anna")
    system.start()
    sso, _ = system.sso()
    with pytest.raises(AccessDenied) as denied:
        sso.perform(request_, as_=Principal("eve", Role.USER))
    caplog.set_level(logging.DEBUG)
    refusal(denied.value, "/v1/credential", is_known=True)
    assert "eve has no role" in f"{vars(caplog.records[-1])}"
    entry = system.store().audit(AuditTrail.LOOKUPS)[-1]
    assert (entry.action, entry.actor) == ("operation.denied", "eve")
    assert "(unknown)" in entry.subject
    assert SECRET not in f"{vars(caplog.records[-1])}{entry}"


@pytest.mark.parametrize("path", [f"/v1/identities/{SECRET}", f"/{SECRET}"])
def test_the_path_of_a_refused_request_is_in_the_log_without_what_was_sent_in_it(
    system: System, tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    system.start()
    caplog.set_level(logging.DEBUG)
    with serving_master(system, tmp_path) as served:
        plain = socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])))
        context = served.identity.client_context()
        with context.wrap_socket(plain, server_hostname=host_name(Role.MASTER, SYSTEM_ID)) as connection:
            connection.sendall(f"DELETE {path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
            while connection.recv(4096):
                pass
    refused = [f"{vars(record)}" for record in caplog.records if "refused" in f"{vars(record)}"]
    assert len(refused) == 1
    assert SECRET not in refused[0]


def test_what_a_known_caller_may_not_do_is_in_the_log_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refusal(AccessDenied("web-01 may not do that"), "/v1/rotation", is_known=True)
    assert "web-01 may not do that" in f"{vars(caplog.records[0])}"
