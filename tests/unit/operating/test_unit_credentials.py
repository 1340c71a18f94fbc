"""Credentials for units: the policy, and the wire as systemd speaks it. tests/systemd has the same under a real one."""

from __future__ import annotations

import json
import os
import socket
from collections import abc
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from systems import System, eventually

from keysvc.errors import AccessDenied, KeysvcError, NotFound
from keysvc.installation.config import UnitCredential
from keysvc.model import AuditTrail, Role
from keysvc.operating import unit_credentials
from keysvc.operating.unit_credentials import MOST_BYTES, UnitCredentials, Wanted
from keysvc.plugin.changes import UNGUARDED, PutSystem
from keysvc.sso import SSO

pytestmark = pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="systemd is of Linux")
POLICY = (
    UnitCredential(unit="sap.service", credential="password", application="SAP", user="anna", field="Password"),
    UnitCredential(unit="worker@*.service", credential="all", application="SAP", user="anna"),
    UnitCredential(unit="sap.service", credential="pin", application="SAP", user="anna", field="PIN"),
    UnitCredential(unit="sap.service", credential="nobody", application="SAP", user="nobody"),
)


@pytest.fixture
def sso(system: System) -> SSO:
    system.start()
    system.with_users("anna")
    made, _ = system.sso(role=Role.SERVER)
    eventually(lambda: made.status().can_encrypt)
    made.set_credential("SAP", user="anna", Password="gehëim")
    return made


@contextmanager
def answering(sso: SSO, folder: Path) -> abc.Iterator[Path]:
    path = folder / "credentials.sock"
    with socket.socket(socket.AF_UNIX) as at:
        at.bind(str(path))
        at.listen()
        units = UnitCredentials(sso, "web-01", POLICY, at)
        units.start()
        yield path
        units.stop()


def asked(path: Path, unit: str, name: str, address: str = "\0{}/unit/{}/{}") -> bytes:
    """As systemd asks."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.bind(address.format(os.urandom(8).hex(), unit, name))
        connection.connect(str(path))
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_unit_gets_what_the_policy_gives_it(sso: SSO, tmp_path: Path) -> None:
    with answering(sso, tmp_path) as path:
        if os.getuid() == 0:
            assert asked(path, "sap.service", "password") == "gehëim".encode()
            assert json.loads(asked(path, "worker@7.service", "all")) == {"Password": "gehëim"}


def test_the_socket_of_systemd_serves_the_next_process_too(sso: SSO, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as at:
        at.bind(str(tmp_path / "credentials.sock"))
        at.listen()
        for _ in range(2):
            units = UnitCredentials(sso, "web-01", POLICY, at)
            units.start()
            assert asked(tmp_path / "credentials.sock", "sap.service", "password", "\0{}/{}/{}") == b""
            units.stop()


@pytest.mark.parametrize(
    ("unit", "name", "error"),
    [
        ("other.service", "password", AccessDenied),
        ("sap.service", "all", AccessDenied),
        ("worker@1.service.d", "all", AccessDenied),
        ("sap.service", "pin", NotFound),
        ("sap.service", "nobody", NotFound),
    ],
)
def test_what_a_unit_does_not_get_is_longer_than_systemd_takes(
    sso: SSO, tmp_path: Path, unit: str, name: str, error: type[KeysvcError]
) -> None:
    with answering(sso, tmp_path) as path:
        if os.getuid() == 0:
            content = asked(path, unit, name)
            assert len(content) > MOST_BYTES
            assert set(content) == {0}
        units = UnitCredentials(sso, "web-01", POLICY, socket.socket(socket.AF_UNIX))
        with pytest.raises(error):
            units.credential(Wanted(unit, name))
        units._at.close()


@pytest.mark.parametrize("address", ["\0{}/unit/{}", "\0{}/units/{}/{}", "\0{}/unit//{}", "\0{}/unit/{}/{}/more"])
def test_who_does_not_ask_as_systemd_does_gets_nothing(sso: SSO, tmp_path: Path, address: str) -> None:
    with answering(sso, tmp_path) as path:
        assert asked(path, "sap.service", "password", address) == b""
        with socket.socket(socket.AF_UNIX) as unnamed:
            unnamed.settimeout(60)
            unnamed.connect(str(path))
            assert unnamed.recv(100) == b""


def test_an_account_that_is_not_root_gets_nothing(sso: SSO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_credentials, "_CREDENTIALS", AsOthers)
    with answering(sso, tmp_path) as path:
        assert asked(path, "sap.service", "password") == b""


class AsOthers:
    """What the kernel says of another account."""

    size = 12

    @staticmethod
    def unpack(_raw: bytes) -> tuple[int, int, int]:
        return 1, 1000, 1000


def test_the_audit_names_the_unit(system: System) -> None:
    record = system.store().system()
    assert record is not None
    system.store().commit(
        [PutSystem(replace(record, settings=replace(record.settings, audit_negative_level=3)))], UNGUARDED
    )
    system.start()
    made, _ = system.sso(role=Role.SERVER)
    with socket.socket(socket.AF_UNIX) as at, pytest.raises(NotFound):
        UnitCredentials(made, "web-01", POLICY, at).credential(Wanted("sap.service", "nobody"))
    assert [entry.actor for entry in system.store().audit(AuditTrail.LOOKUPS)] == ["web-01\\sap.service"]
