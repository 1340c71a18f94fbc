"""An SSO server that starts while no master secret server is up decrypts with what it left sealed on its disk."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from systems import InProcessMaster, System, configured

from keysvc.errors import MasterSecretServerUnavailable, Revoked
from keysvc.model import MasterSecret, SecretBytes, utc_now
from keysvc.plugin.interfaces import KeyStore
from keysvc.sso import SSO
from keysvc.sso.sealed_cache import SealedCache

DAY = timedelta(days=1)


def disk(system: System, folder: Path) -> KeyStore:
    return system.plugins.key_stores.open(f"file://{folder}/cache", pytest.fail, system.system_id)


def server(system: System, *, down: bool = False, maximum_age: timedelta = DAY) -> tuple[SSO, InProcessMaster]:
    link = InProcessMaster(system, "web-01")
    link.down = down
    sso = SSO(system.store(), link, "web-01", sealed=SealedCache(disk(system, system.folder), maximum_age))
    return sso, link


@pytest.fixture
def used(system: System) -> System:
    """An SSO server stored a credential, and ended; then the master did."""
    system.start()
    system.with_users("alice")
    sso, _ = server(system)
    sso.set_credential("SAP", user="alice", password="geheim")
    sso.close()
    system.stop()
    return system


def test_a_server_restarted_without_a_master_decrypts_and_does_not_encrypt(used: System) -> None:
    sso, _ = server(used, down=True)
    assert sso.credential("SAP", user="alice")["password"].reveal() == "geheim"
    assert not sso.status().can_encrypt
    with pytest.raises(MasterSecretServerUnavailable):
        sso.set_credential("SAP", user="alice", password="new")
    sso.close()


def test_it_encrypts_again_when_a_master_is_back(used: System) -> None:
    sso, link = server(used, down=True)
    used.start()
    link.down = False
    sso.set_credential("SAP", user="alice", password="new")
    assert sso.credential("SAP", user="alice")["password"].reveal() == "new"
    sso.close()


def test_a_version_that_was_confirmed_too_long_ago_is_removed_and_not_used(used: System) -> None:
    age(used, DAY + timedelta(minutes=1))
    sso, _ = server(used, down=True)
    with pytest.raises(MasterSecretServerUnavailable):
        sso.credential("SAP", user="alice")
    assert not disk(used, used.folder).versions()
    sso.close()


def test_one_from_the_future_is_not_used(used: System) -> None:
    age(used, timedelta(hours=-1))
    sso, _ = server(used, down=True)
    with pytest.raises(MasterSecretServerUnavailable):
        sso.credential("SAP", user="alice")
    sso.close()


def test_another_secret_of_the_same_number_is_not_used(used: System) -> None:
    store = disk(used, used.folder)
    store.destroy(1)
    store.seal(MasterSecret(1, utc_now(), SecretBytes(b"x" * 32)))
    sso, _ = server(used, down=True)
    with pytest.raises(MasterSecretServerUnavailable):
        sso.credential("SAP", user="alice")
    sso.close()


def test_another_systems_cache_does_not_open(used: System, tmp_path: Path) -> None:
    other = configured(tmp_path / "other", "6" * 32) if (tmp_path / "other").mkdir() is None else None
    assert other is not None
    found, _ = SealedCache(disk(other, used.folder), DAY).load(other.store())
    assert found == []
    other.close()


def test_what_is_announced_no_more_is_destroyed_on_disk(used: System) -> None:
    master = used.start()
    sso, _ = server(used)
    assert list(disk(used, used.folder).versions()) == [1]
    cache = SealedCache(disk(used, used.folder), DAY)
    cache.confirm(replace(master.announced(), versions=()))
    assert not disk(used, used.folder).versions()
    sso.close()


def test_a_revoked_server_destroys_it(used: System, monkeypatch: pytest.MonkeyPatch) -> None:
    used.start()
    sso, link = server(used)

    def revoked(*_: object, **__: object) -> None:
        raise Revoked("the certificate of web-01 was revoked")

    monkeypatch.setattr(link, "poll", revoked)
    with pytest.raises(Revoked):
        sso._poller.poll_now()
    assert not disk(used, used.folder).versions()
    sso.close()


def age(system: System, by: timedelta) -> None:
    """As if the master had confirmed version 1 so long ago."""
    store = disk(system, system.folder)
    secret = store.unseal(1)
    store.destroy(1)
    store.seal(replace(secret, created_at=secret.created_at - by))
