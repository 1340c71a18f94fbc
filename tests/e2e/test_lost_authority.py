"""The first machine is lost with the certificate authority. docs/how-to/recover.md is typed as it stands."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from collections import abc
from pathlib import Path

import pytest
from sites import Site, joined
from systems import Ended, Keysvc

import keysvc as sso_api
from keysvc.cli.demo.processes import Machine, free_port
from keysvc.errors import KeysvcError
from keysvc.installation import assembly, config as configuration
from keysvc.model import AuditTrail

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "recover.md"
HEADING = "## The first machine is lost, with the authority"
PASSPHRASE = "correct horse battery"


def typed(heading: str) -> list[str]:
    """The commands of a section of the page, in order."""
    section = PAGE.read_text().split(heading, 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^    \$ (.+)$", section, re.MULTILINE)


@pytest.fixture
def web(site: Site, keysvc: Keysvc) -> Machine:
    """An SSO server of a system with a credential. The mapping store and the backup are in directories of their own."""
    (site.folder / "passphrase").write_text(PASSPHRASE)
    kept = ("--backup", site.folder / "keysvc-backup.age", "--passphrase-file", site.folder / "passphrase")
    site.init("--mapping-store", f"sqlite:///{site.folder}/keysvc.db", *kept)
    site.serve()
    site("app", "create", "SAP", "--enable")
    machine = joined(site, keysvc, "web-01", "server", "127.0.0.1:7444")
    with sso_api.connect(machine.config) as sso:
        sso.set_credential("SAP", user="anna", external_user="ANNA", Password="geheim")
    return machine


def restore(site: Site, keysvc: Keysvc, line: str, address: str) -> Ended:
    words = shlex.split(as_here(site, line, address))
    return keysvc(*words[1:], env={"KEYSVC_PASSPHRASE": PASSPHRASE})


def as_here(site: Site, line: str, address: str) -> str:
    """A command of the page, on the machines of this test."""
    for there, here in (
        ("/var/lib/keysvc", str(site.machine.directory)),
        ("/etc/keysvc", str(site.folder / "web-01")),
        ("postgresql://keysvc@db/keysvc", f"sqlite:///{site.folder}/keysvc.db"),
        ("master:7443", address),
        ("keysvc-backup.age", str(site.folder / "keysvc-backup.age")),
    ):
        line = line.replace(there, here)
    return line


def audited(site: Site) -> abc.Sequence[tuple[str, str, object]]:
    with contextlib.closing(assembly.open_mapping_store(configuration.load(site.machine.config))) as store:
        entries = store.audit(AuditTrail.CHANGES)
    return [(e.actor, e.action, e.detail.get("revoked")) for e in entries if e.action == "authority.replaced"]


def test_a_first_machine_that_is_lost_with_the_authority_is_replaced_as_the_page_says(
    site: Site, keysvc: Keysvc, web: Machine
) -> None:
    token = site.folder / "token"
    unused = site("server", "enroll", "web-02").out
    site.running.pop().end()
    shutil.rmtree(site.machine.directory)
    rebuild, serve, *after = typed(HEADING)
    address = f"127.0.0.1:{free_port()}"

    made = restore(site, keysvc, rebuild, address)
    assert made.status == 0, made.err
    assert "no certificate is checked" in made.err
    assert "has to enrol again: keysvc server enroll web-01 --role server" in made.out
    assert audited(site) == [("the store's own rights", "authority.replaced", 1)]
    assert serve.endswith("serve &")
    site.serve()
    with pytest.raises(KeysvcError), sso_api.connect(web.config) as sso:
        sso.credential("SAP", user="anna")
    for line in after:
        words = shlex.split(as_here(site, line, address))
        if words[0] == "rm":
            token.unlink()
        elif ">" in words:
            done = keysvc(*words[1 : words.index(">")])
            token.write_text(done.out)
        else:
            done = keysvc(*[str(token) if word == "token" else word for word in words[1:]])
        assert done.status == 0, done.err
    assert not token.exists()
    with sso_api.connect(web.config) as sso:
        assert sso.credential("SAP", user="anna")["Password"].reveal() == "geheim"
        sso.set_credential("SAP", user="anna", external_user="ANNA", Password="neu")
    (site.folder / "old").write_text(unused)
    refused = keysvc("join", f"https://{address}", "--token-file", site.folder / "old", "--dir", site.folder / "web-02")
    assert (refused.status, "another certificate authority" in refused.err) == (1, True)


def test_while_a_master_lives_its_authority_is_not_replaced(site: Site, keysvc: Keysvc, web: Machine) -> None:
    other = site.folder / "other"
    line = typed(HEADING)[0].replace("/var/lib/keysvc", str(other))
    refused = restore(site, keysvc, line, "127.0.0.1:1")
    assert (refused.status, "is the master secret server of this system" in refused.err) == (1, True)
    assert not list(other.iterdir()), "the corrected command finds the directory empty"
    assert "web-01" in site("server", "list").out
    with sso_api.connect(web.config) as sso:
        assert sso.credential("SAP", user="anna")["Password"].reveal() == "geheim"


@pytest.mark.parametrize("wrong", ["a passphrase", "another system's store"])
def test_what_does_not_fit_replaces_no_authority(site: Site, keysvc: Keysvc, web: Machine, wrong: str) -> None:
    site.running.pop().end()
    if wrong == "another system's store":
        other = Site(site.folder / "others", keysvc)
        other.init("--no-backup", "--mapping-store", f"sqlite:///{site.folder}/other.db")
    line = typed(HEADING)[0].replace("/var/lib/keysvc", str(site.folder / "new"))
    if wrong == "another system's store":
        line = line.replace("postgresql://keysvc@db/keysvc", f"sqlite:///{site.folder}/other.db")
    words = shlex.split(as_here(site, line, "127.0.0.1:1"))
    refused = keysvc(*words[1:], env={"KEYSVC_PASSPHRASE": PASSPHRASE if "store" in wrong else "wrong horse battery"})
    assert refused.status == 1
    assert "give a backup of this system" in refused.err if "store" in wrong else "passphrase" in refused.err
    assert not list((site.folder / "new").iterdir())
    assert not audited(site)


def test_options_of_a_new_authority_need_it(site: Site) -> None:
    site.init("--no-backup")
    assert "belong to --new-authority" in site("secret", "restore", "x", "--dir", "y", ok=None).err
    assert "needs --dir and --mapping-store" in site("secret", "restore", "x", "--new-authority", ok=None).err
