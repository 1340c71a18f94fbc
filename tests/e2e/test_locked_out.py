"""Nobody can get in: certificates that a wrong clock issued, that expired, were lost or were revoked."""

from __future__ import annotations

import contextlib
import json
import shutil
import ssl
import urllib.request
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sites import Site
from systems import Keysvc, eventually

from keysvc.crypto import certificates
from keysvc.installation import assembly, config as configuration
from keysvc.model import AuditTrail, Role, host_name, utc_now
from keysvc.plugin.changes import UNGUARDED, PutIdentity
from keysvc.web.tls.identity_files import MASTER_IDENTITY, IdentityFiles


def issued_at(site: Site, name: str, at: datetime) -> IdentityFiles:
    """The certificate of `name` is as if it had been issued at `at`, in its files and in the mapping store."""
    config = configuration.load(site.machine.config)
    with contextlib.closing(assembly.open_mapping_store(config)) as store:
        known = store.identity(name)
        assert known is not None
        made = certificates.issue(
            assembly.authority(config),
            name,
            known.role,
            now=at,
            hosts=[host_name(known.role, config.system_id)],
            system_id=config.system_id,
        )
        changed = replace(
            known,
            serial=certificates.serial(made.certificate),
            enrolled_at=at,
            expires_at=certificates.not_after(made.certificate),
        )
        store.commit([PutIdentity(changed)], UNGUARDED)
    files = IdentityFiles(config.resolve(MASTER_IDENTITY if known.role is Role.MASTER else config.identity))
    files.replace(made.certificate, made.key)
    return files


def serving(site: Site) -> None:
    """A master secret server answers, whoever may ask it."""
    site.running.append(site.machine.start("serve"))
    url = configuration.load(site.machine.config).own_url
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE

    def answers() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/v1/authority", context=anybody, timeout=5):
            return True
        return False

    eventually(answers)


@pytest.mark.parametrize("days", [300, -500], ids=["not yet valid", "expired"])
def test_a_master_whose_certificate_a_wrong_clock_issued_renews_it_at_its_next_start(site: Site, days: int) -> None:
    site.init("--no-backup")
    files = issued_at(site, "master", utc_now() + timedelta(days=days))
    before = files.certificate()
    site.serve()
    assert files.certificate() != before
    assert certificates.is_valid(files.certificate(), utc_now())
    assert "master" in site("server", "list").out


def readmitted(site: Site, keysvc: Keysvc, name: str) -> None:
    """As recover.md types it."""
    made = site("server", "readmit", name, "--json")
    assert "no certificate is checked" in made.err
    asked = json.loads(made.out)
    done = keysvc(
        "join",
        asked["url"],
        "--token-file",
        "-",
        "--dir",
        site.machine.directory,
        "--again",
        stdin=asked["token"],
    )
    assert done.status == 0, done.err


def audited(site: Site) -> list[tuple[str, str]]:
    with contextlib.closing(assembly.open_mapping_store(configuration.load(site.machine.config))) as store:
        entries = store.audit(AuditTrail.CHANGES)
    return [(entry.actor, entry.subject) for entry in entries if entry.action == "identity.readmitted"]


@pytest.mark.parametrize("days", [300, -500], ids=["not yet valid", "expired"])
def test_the_only_administrator_whose_certificate_cannot_be_used_is_readmitted(
    site: Site, keysvc: Keysvc, days: int
) -> None:
    site.init("--no-backup")
    issued_at(site, "administrator", utc_now() + timedelta(days=days))
    serving(site)
    refused = site("server", "list", ok=False).err
    assert ("not yet valid" if days > 0 else "expired on") in refused
    assert "keysvc server readmit NAME" in refused
    readmitted(site, keysvc, "administrator")
    assert "administrator" in site("server", "list").out
    assert audited(site) == [("the store's own rights", "administrator")]


def test_the_only_administrator_whose_certificate_was_lost_is_readmitted(site: Site, keysvc: Keysvc) -> None:
    site.init("--no-backup")
    site.serve()
    shutil.rmtree(site.machine.directory / "identity")
    readmitted(site, keysvc, "administrator")
    assert "administrator" in site("server", "list").out


def test_the_only_administrator_who_was_revoked_is_readmitted(site: Site, keysvc: Keysvc) -> None:
    site.init("--no-backup")
    site.serve()
    config = configuration.load(site.machine.config)
    with contextlib.closing(assembly.open_mapping_store(config)) as store:
        known = store.identity("administrator")
        assert known is not None
        store.commit([PutIdentity(replace(known, revoked_at=utc_now()))], UNGUARDED)
    site.running.pop().end()
    serving(site)
    assert "keysvc server readmit administrator" in site("server", "list", ok=False).err
    readmitted(site, keysvc, "administrator")
    assert "administrator" in site("server", "list").out


def test_the_only_master_is_revoked_by_force_alone_and_readmitted(site: Site, keysvc: Keysvc) -> None:
    site.init("--no-backup")
    site.serve()
    assert "only master secret server" in site("server", "revoke", "master", ok=False).err
    site("server", "revoke", "master", "--force")
    site.running.pop().end()
    site.running.append(site.machine.start("serve"))
    log = site.running[-1].log
    eventually(lambda: "keysvc server readmit master" in log.read_text())
    readmitted(site, keysvc, "master")
    eventually(lambda: site.state()["state"] == "ready")
    site.running.pop().end()
    site.serve()
    assert site.state()["state"] == "ready"


def test_a_token_of_another_system_replaces_no_certificate(site: Site, keysvc: Keysvc, tmp_path: Path) -> None:
    site.init("--no-backup")
    other = Site(tmp_path / "other", keysvc)
    other.init("--no-backup")
    other.serve()
    try:
        asked = json.loads(other("server", "readmit", "administrator", "--json").out)
        done = keysvc(
            "join", asked["url"], "--token-file", "-", "--dir", site.machine.directory, "--again", stdin=asked["token"]
        )
        assert (done.status, "another system" in done.err) == (1, True)
        done = keysvc(
            "join", asked["url"], "--token-file", "-", "--dir", other.machine.directory, "--again", stdin=asked["token"]
        )
        assert done.status == 0, "the token was not spent"
    finally:
        other.end()


def test_nobody_who_was_never_enrolled_is_readmitted(site: Site) -> None:
    site.init("--no-backup")
    assert (
        "administrators, masters and applications are: administrator, master"
        in site("server", "readmit", "anna", ok=False).err
    )
