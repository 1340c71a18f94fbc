"""Enrolling machines and people, under our own authority and under somebody else's."""

from __future__ import annotations

import json
from collections import abc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from sites import Site
from systems import Keysvc, eventually

from keysvc.cli.demo.processes import Machine, free_port


@pytest.fixture
def site(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Site]:
    made = Site(tmp_path, keysvc)
    yield made
    made.end()


def an_intermediate_authority(folder: Path, *, ca: bool = True) -> Path:
    """What a company's PKI hands out: signed by a root that keysvc never sees."""
    now = datetime.now(UTC)
    root_key, key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
    root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Nordwind Root CA")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Nordwind keysvc CA")])
    usages = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    usage = x509.KeyUsage(digital_signature=True, key_cert_sign=ca, crl_sign=ca, decipher_only=False, **usages)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(root)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=700))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .sign(root_key, SHA256())
    )
    folder.mkdir()
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "key.pem").chmod(0o600)
    return folder


def joined(site: Site, keysvc: Keysvc, token: str, url: str, name: str) -> Machine:
    machine = Machine(site.folder / name, site.folder / "logs")
    where = ("--dir", machine.directory, "--agent", f"127.0.0.1:{free_port()}")
    done = keysvc("join", url, "--token-file", "-", *where, stdin=token)
    assert done.status == 0, done.err
    return machine


@pytest.mark.parametrize("own", [False, True], ids=["ours", "an authority of one's own"])
def test_a_machine_a_person_and_their_revocation(site: Site, keysvc: Keysvc, tmp_path: Path, own: bool) -> None:
    site.init("--no-backup", *(("--authority", an_intermediate_authority(tmp_path / "ca")) if own else ()))
    site.serve()
    made = json.loads(site("server", "enroll", "web-01", "--json").out)
    server = joined(site, keysvc, made["token"], made["url"], "web-01")
    made = json.loads(site("user", "enroll", "anna", "--json").out)
    person = joined(site, keysvc, made["token"], made["url"], "anna")
    person.config.write_text(
        "\n".join(
            line.replace(line, agent_of(server)) if line.startswith("agent =") else line
            for line in person.config.read_text().splitlines()
        )
    )
    site("app", "create", "SAP", "--enable")
    site("mapping", "set", "SAP", "anna", "ANNA", "--enable")
    fields = json.dumps({"Password": "geheim"})

    def as_anna(*arguments: object, stdin: str = "") -> tuple[int, str]:
        done = keysvc("--config", person.config, *arguments, stdin=stdin)
        return done.status, done.out + done.err

    with server.start("agent"):
        store = ("credential", "set", "SAP", "anna", "--fields-file", "-")
        eventually(lambda: as_anna(*store, stdin=fields)[0] == 0, seconds=30)
        assert "geheim" in as_anna("credential", "get", "SAP", "anna", "--show")[1]
        assert "access-denied" in as_anna("credential", "get", "SAP", "bert")[1]
        people = json.loads(site("user", "list", "--json").out)
        assert [(one["name"], one["role"]) for one in people] == [("administrator", "administrator"), ("anna", "user")]
        assert all(one["expires_at"] > one["enrolled_at"] for one in people)
        assert "web-01" in site("server", "list").out
        site("user", "revoke", "anna")
        eventually(lambda: "revoked" in as_anna("credential", "get", "SAP", "anna")[1], seconds=30)


def agent_of(machine: Machine) -> str:
    return next(line for line in machine.config.read_text().splitlines() if line.startswith("agent ="))


def test_an_authority_that_cannot_be_one_is_refused_before_anything_is_made(site: Site, tmp_path: Path) -> None:
    leaf = an_intermediate_authority(tmp_path / "leaf", ca=False)
    other = an_intermediate_authority(tmp_path / "other")
    mixed = an_intermediate_authority(tmp_path / "mixed")
    (mixed / "key.pem").write_bytes((other / "key.pem").read_bytes())
    (mixed / "key.pem").chmod(0o600)
    for directory, why in ((leaf, "no authority"), (mixed, "not that of"), (tmp_path / "none", "none")):
        done = site._keysvc("init", "--dir", site.machine.directory, "--no-backup", "--authority", directory)
        assert (done.status, why in done.err) == (1, True), done.err
        assert not site.machine.directory.exists()
