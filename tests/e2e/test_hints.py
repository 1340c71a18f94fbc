"""A hint names what helps whoever reads it: not the command that printed it, nor a file that is not at fault."""

from __future__ import annotations

import ast
from collections import abc
from pathlib import Path

import pytest
from sites import Site
from systems import Keysvc

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("keysvc/**/*.py"), *ROOT.glob("plugins/*/keysvc_*/**/*.py")])


def raised(source: Path) -> abc.Iterator[tuple[str, str]]:
    """The call behind each `raise` of a module, and where it is."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield ast.unparse(node.exc), f"{source.relative_to(ROOT)}:{node.lineno}"


def test_what_reads_back_otherwise_is_no_reason_to_restore_a_backup() -> None:
    found = [(call, at) for source in SOURCES for call, at in raised(source) if "reads back" in call]
    assert len(found) >= 7
    assert [at for call, at in found if "hint=SealBroken.NOT_KEPT" not in call] == []


@pytest.mark.parametrize(
    ("lost", "command", "helps"),
    [
        ("identity/certificate.pem", ("server", "list"), "keysvc server readmit NAME"),
        ("identity/key.pem", ("secret", "rotate"), "keysvc server readmit NAME"),
        ("authority/key.pem", ("server", "readmit", "administrator"), "--new-authority"),
    ],
)
def test_where_a_file_of_a_certificate_is_lost_the_hint_is_about_certificates(
    site: Site, lost: str, command: tuple[str, ...], helps: str
) -> None:
    site.init("--no-backup")
    (site.machine.directory / lost).unlink()
    refused = site(*command, ok=False).err
    assert helps in refused
    assert "configuration.md" not in refused


def test_what_only_a_master_has_is_asked_of_a_master(site: Site) -> None:
    site.init("--no-backup")
    config = site.machine.config
    kept = [
        line
        for line in config.read_text().splitlines()
        if line.split(" ")[0] not in ("listen", "authority", "key_store")
    ]
    config.write_text("\n".join([*kept, ""]))
    for command in (("serve",), ("server", "readmit", "administrator"), ("secret", "reseal", "--to", "file:///x")):
        assert "run it with the configuration of a master secret server" in site(*command, ok=False).err


def test_an_option_that_is_wrong_is_not_blamed_on_the_configuration_file(
    site: Site, keysvc: Keysvc, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"keysvc-{'0' * 64}-{'a' * 32}")
    refused = keysvc("init", "--dir", tmp_path / "new", "--no-backup", "--authority", tmp_path)
    assert (refused.status, "give --authority a directory with certificate.pem and key.pem" in refused.err) == (1, True)
    (tmp_path / "passphrase").write_text("correct horse battery")
    backup = ("--backup", tmp_path / "backup.age", "--passphrase-file", tmp_path / "passphrase")
    site.init(*backup)
    restore = ("secret", "restore", tmp_path / "backup.age", "--passphrase-file", tmp_path / "passphrase")
    empty = (f"sqlite:///{tmp_path}/nothing.db", "--dir", tmp_path / "other")
    refused = keysvc(*restore, "--new-authority", "--mapping-store", *empty)
    assert refused.status == 1
    assert "keysvc init" not in refused.err, "that would make another system"
    assert "or restore its database first" in refused.err
