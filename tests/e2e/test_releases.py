"""This release beside the next one, which has one more step: real processes, one mapping store."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import sites
from sites import USERS, Site, with_credentials
from systems import eventually

import keysvc
from keysvc.cli.demo.processes import Machine
from keysvc.errors import SchemaMismatch
from keysvc.installation import assembly, config as configuration

NEXT = {"PYTHONPATH": str(Path(sites.__file__).with_name("next_release"))}


def schemas(site: Site) -> tuple[int, int]:
    """Of the mapping store: its own, and the oldest that a release must know."""
    with contextlib.closing(assembly.open_mapping_store(configuration.load(site.machine.config))) as store:
        info = store.info()
        return info.schema_version, info.oldest_reader


def test_this_release_works_beside_the_next_one_until_no_member_has_it_any_more(site: Site) -> None:
    site.init("--no-backup")
    with_credentials(site)
    now = assembly.newest_schema()
    assert schemas(site) == (now, now)

    next_release = Site(site.folder, site._keysvc)
    next_release.machine = Machine(site.machine.directory, site.folder / "logs", NEXT)
    next_release.running = site.running
    with keysvc.connect(site.machine.config) as sso:  # of this release: decrypts while the other upgrades
        next_release.serve()
        assert schemas(site)[0] == now + 1
        eventually(lambda: sso.credential("SAP", user="user-0")["Password"].reveal() == USERS["user-0"])
        eventually(lambda: written(sso))
        assert sso.credential("SAP", user="new")["Password"].reveal() == "geheim-new"
        assert [server["name"] for server in site.state()["servers"]]
        assert schemas(site) == (now + 1, now)

    eventually(lambda: schemas(site) == (now + 1, now + 1))  # it said goodbye: no member of this release is left
    with pytest.raises(SchemaMismatch, match=f"nothing below schema {now + 1} may open it"):
        keysvc.connect(site.machine.config).applications()
    refused = site("app", "list", ok=False).err
    assert "schema-mismatch" in refused
    assert "install here the release" in refused


def written(sso: keysvc.SSO) -> bool:
    """Whether the master of the next release permits this one to encrypt."""
    try:
        sso.set_credential("SAP", user="new", external_user="NEW", Password="geheim-new")
    except keysvc.KeysvcError as error:
        print(repr(error))
        return False
    return True
