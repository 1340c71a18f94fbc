"""A permission to encrypt that an SSO server has is used, whatever else a poll fails by."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from systems import System, eventually

from keysvc.errors import Fenced, KeyStoreUnavailable, KeysvcError, MasterSecretServerUnavailable, ProtocolError
from keysvc.model import Announcement, Guard, SecretBytes, VersionState
from keysvc.plugin.changes import PutVersion
from keysvc.sso import SSO
from keysvc.sso.status import ServerState


@pytest.fixture
def sso(system: System) -> SSO:
    system.with_users("anna")
    system.start(poll_interval=timedelta(minutes=1))  # a permission outlasts the test
    return system.sso()[0]


def after_a_poll(sso: SSO) -> ServerState:
    sso._poller.poll_now()
    return sso.status()


def activate_version_2(system: System) -> None:
    """Which every SSO server holds."""
    store = system.store()
    old, new = store.versions()
    both = [replace(old, state=VersionState.RETIRING), replace(new, state=VersionState.ACTIVE)]
    store.commit([PutVersion(record) for record in both], Guard())


@pytest.mark.parametrize(
    "failure",
    [
        Fenced("epoch 1 is over"),
        KeyStoreUnavailable("a version cannot be unsealed"),
        ProtocolError("of an epoch that is over"),
        MasterSecretServerUnavailable("gone"),
    ],
)
def test_a_writer_that_lost_the_race_learns_the_active_version_from_the_mapping_store_whatever_the_poll_fails_by(
    system: System, sso: SSO, monkeypatch: pytest.MonkeyPatch, failure: KeysvcError
) -> None:
    monkeypatch.setattr(system.master.rotation._servers, "waiting_for", lambda _version, **_: [1])
    system.master.rotate("administrator")
    eventually(lambda: after_a_poll(sso).versions_held == (1, 2))

    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(sso._poller._master, "poll", fail)
    activate_version_2(system)
    assert sso.status().can_encrypt
    assert sso.set_credential("SAP", user="anna", password="geheim") == 2


def test_a_poll_that_permits_and_fails_for_another_version_is_as_good_as_one_that_permits(
    system: System, sso: SSO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system.master.rotation._servers, "waiting_for", lambda _version, **_: [1])

    def fetch(version: int) -> SecretBytes:
        raise KeyStoreUnavailable(f"version {version} cannot be unsealed")

    monkeypatch.setattr(sso._poller._master, "fetch", fetch)
    system.master.rotate("administrator")
    sso._cache._permitted_until = 0.0
    assert sso.set_credential("SAP", user="anna", password="geheim") == 1
    assert sso.status().versions_held == (1,)


def test_an_answer_of_an_epoch_that_is_over_permits_nothing(
    system: System, sso: SSO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A waiting poll that the old master answers after another one's announcement was taken over."""
    cache, known = sso._cache, sso._cache.announcement
    assert known is not None
    successor: Announcement = replace(known, epoch=known.epoch + 1)
    monkeypatch.setattr(sso._poller, "_try", lambda **_: False)  # the thread that polls rests
    sso._poller._stopping.set()  # else one that is not made to wait rests for a minute

    def answered_late(*_: object, **__: object) -> None:
        cache.replace(successor, [])
        cache._permitted_until = 0.0

    monkeypatch.setattr(sso._poller._master, "poll", answered_late)
    assert not sso._poller._wait_for_change()
    assert not cache.permitted


def test_what_the_mapping_store_said_before_a_newer_announcement_is_not_followed(system: System, sso: SSO) -> None:
    before = system.store().versions()
    system.master.rotate("administrator")
    eventually(lambda: after_a_poll(sso).active_version == 2)
    assert sso._cache.follow(before)
    assert sso.status().active_version == 2
