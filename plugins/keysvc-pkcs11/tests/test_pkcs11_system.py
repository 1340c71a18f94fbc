"""A whole system on a token: its outage stops no poll, no lookup and no encryption, and it recovers by itself."""

from __future__ import annotations

import logging
from collections import abc
from dataclasses import dataclass

import pytest
from systems import System, eventually, run_keysvc

from keysvc.crypto import certificates
from keysvc.master import lifecycle, watch
from keysvc.master.delivery import Subscription
from keysvc.plugin import Event, Identity, KeyStore, KeyStoreUnavailable, Role, utc_now
from keysvc.plugin.loading import Plugins
from keysvc.plugin.logs import Line

SYSTEM_ID = "5" * 32
PIN = "48151623"


@dataclass
class TokenSystem(System):
    """As `System`, with its master secret in a token."""

    url: str = ""

    def key_store(self) -> KeyStore:
        return self.plugins.key_stores.open(self.url, lambda _what: pytest.fail("asked"), self.system_id)


@pytest.fixture
def system(softhsm, tmp_path) -> abc.Iterator[TokenSystem]:
    authority = certificates.create_authority(SYSTEM_ID, now=utc_now())
    made = TokenSystem(tmp_path, Plugins(), authority, url=softhsm.url())
    store = made.store()
    store.prepare()
    key_store = made.key_store()
    lifecycle.configure(store, key_store, SYSTEM_ID, Identity("administrator", Role.ADMINISTRATOR, "01", utc_now()))
    key_store.close()
    yield made
    made.close()


class Keeping:
    """A notifier that keeps what it is told."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def deliver(self, event: Event) -> None:
        self.kinds.append(event.kind)

    def close(self) -> None:
        pass


def test_an_outage_stops_no_poll_no_lookup_and_no_encryption(
    system: TokenSystem, softhsm, monkeypatch, told, said
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.5)
    system.with_users("anna", "bert")
    events = Keeping()
    master = system.start(subscriptions=[Subscription("keeping", events)])
    sso, _link = system.sso()
    sso.set_credential("SAP", user="anna", password="geheim")
    away = softhsm.tokens.rename(softhsm.directory / "away")
    sso.set_credential("SAP", user="bert", password="streng")
    assert sso.credential("SAP", user="anna")["password"].reveal() == "geheim"
    late, link = system.sso("web-02")
    assert late.credential("SAP", user="bert")["password"].reveal() == "streng"
    assert link.polls
    with pytest.raises(KeyStoreUnavailable):
        master.rotate("administrator")
    eventually(lambda: master.status().state == "degraded")
    eventually(lambda: "key-store.unavailable" in events.kinds)
    away.rename(softhsm.tokens)
    eventually(lambda: events.kinds[-1] == "key-store.back")
    assert master.status().state == "ready"
    assert [event for event in said() if event.startswith("the key store ")] == [
        "the key store does not answer; what is held serves on",
        "the key store answers again",
    ]
    assert len(told.lines) == 1, "its process is started again: once, however often it was tried"
    master.rotate("administrator")
    eventually(lambda: system.store().rows_by_version() == {2: 2})
    assert sso.credential("SAP", user="anna")["password"].reveal() == "geheim"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> abc.Callable[[], list[str]]:
    """The events that the service logged."""
    caplog.set_level(logging.INFO, "keysvc")
    return lambda: [record.msg.event for record in caplog.records if isinstance(record.msg, Line)]


def test_a_service_that_was_started_with_a_wrong_pin_recovers_without_a_restart_when_it_is_corrected(
    system: TokenSystem, softhsm, monkeypatch, caplog, said
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.1)
    softhsm.pin_file.write_text("00000000")
    for _ in range(2):
        system.stop()
        caplog.clear()
        master = system.start()
        assert master.status().state == "degraded"
        assert "PIN" in master.status().problems[0]
        assert said().count("a version cannot be unsealed") == 1
    softhsm.pin_file.write_text(PIN)
    eventually(lambda: master.status().state == "ready")
    eventually(lambda: "a version can be unsealed again" in said())


def test_a_start_during_an_outage_is_degraded_and_heals_when_the_token_is_back(
    system: TokenSystem, softhsm, monkeypatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.1)
    away = softhsm.tokens.rename(softhsm.directory / "away")
    master = system.start()
    status = master.status()
    assert status.state == "degraded"
    assert "the token prod" in status.problems[0]
    away.rename(softhsm.tokens)
    eventually(lambda: master.status().state == "ready")


def test_keysvc_init_and_doctor_on_a_token(softhsm, tmp_path) -> None:
    home, directory = tmp_path / "home", tmp_path / "keysvc"
    made = run_keysvc(home, "init", "--dir", directory, "--key-store", softhsm.url(), "--no-backup")
    assert made.status == 0, made.err
    assert "sealed and read back" in made.out
    doctor = run_keysvc(home, "--config", directory / "keysvc.toml", "doctor")
    assert "version 1 opens from pkcs11:token=prod" in doctor.out


def test_init_takes_a_kek_that_could_leave_the_token_only_when_that_is_said(softhsm, tmp_path) -> None:
    softhsm.run("""
session.generate_key(KeyType.AES, 256, label="keysvc", id=b"1", store=True,
    capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
    template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: True})
answer = None
""")
    init = ("init", "--dir", tmp_path / "keysvc", "--key-store", softhsm.url(), "--no-backup")
    refused = run_keysvc(tmp_path, *init)
    assert refused.status == 1
    assert "is CKA_EXTRACTABLE: it could be outside of the token; " in refused.err
    assert refused.err.endswith("init --allow-extractable-kek\n")
    assert run_keysvc(tmp_path, *init, "--allow-extractable-kek").status == 0
    assert "&allow-extractable-kek=yes" in (tmp_path / "keysvc/keysvc.toml").read_text()
    assert (
        "version 1 opens from pkcs11:"
        in run_keysvc(tmp_path, "--config", tmp_path / "keysvc/keysvc.toml", "doctor").out
    )


def test_a_refused_init_says_why_in_one_line_and_leaves_nothing(softhsm, tmp_path) -> None:
    softhsm.pin_file.write_text("00000000")
    made = run_keysvc(tmp_path, "init", "--dir", tmp_path / "keysvc", "--key-store", softhsm.url(), "--no-backup")
    assert made.status == 1
    (line,) = made.err.splitlines()
    assert line.startswith("error: key-store-unavailable: the token prod: CKR_PIN_INCORRECT")
    assert not (tmp_path / "keysvc" / "keysvc.toml").exists()
