"""Certificates that expired, were replaced, or come from an authority below ours, against a running server."""

from __future__ import annotations

import base64
import shutil
import socket
from datetime import timedelta
from pathlib import Path

from attackers import Attacked, Kept
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from systems import eventually

from keysvc.crypto import certificates
from keysvc.installation import assembly
from keysvc.model import Role, SecretBytes, utc_now
from keysvc.web.tls.identity_files import IdentityFiles

POLL = "/v1/poll?instance=attacker&holds="


def test_a_certificate_that_expires_on_a_kept_connection_is_refused_and_cannot_renew(attacked: Attacked) -> None:
    for seconds in (15, 60, 240):  # a loaded machine takes long to start
        name, ends = f"brief-{seconds}", utc_now() + timedelta(seconds=seconds)
        files = attacked.enrolled(name, Role.SERVER, ends_in=timedelta(seconds=seconds))
        serving = attacked.serve()
        if utc_now() < ends - timedelta(seconds=5):
            break
        serving.end()
    kept = attacked.kept(files)
    assert kept.ask("GET", POLL).status == 200
    eventually(lambda: utc_now() > ends, seconds=300)
    refused = kept.ask("GET", POLL)
    assert (refused.status, refused.code) == (403, "access-denied")
    assert "expired" in str(refused.body["detail"])
    assert kept.renew(name)[0].status == 403
    assert attacked.stored(name).previous_serial == ""
    kept.close()


def test_no_session_is_resumed(attacked: Attacked) -> None:
    files = attacked.enrolled("web-01", Role.SERVER)
    attacked.serve()
    first = attacked.kept(files)
    assert first.ask("GET", POLL).status == 200
    context, session = first.socket.context, first.socket.session
    with socket.create_connection(first.socket.getpeername()) as plain:
        again = context.wrap_socket(plain, session=session)
        assert not again.session_reused
        again.close()
    first.close()


def test_a_copied_old_key_neither_renews_nor_evicts_its_owner(attacked: Attacked, tmp_path: Path) -> None:
    files = attacked.enrolled("web-01", Role.SERVER)
    shutil.copytree(files.directory, tmp_path / "stolen")
    attacked.serve()
    owner, thief = attacked.kept(files), attacked.kept(IdentityFiles(tmp_path / "stolen"))
    answer, pair = owner.renew("web-01")
    assert answer.status == 200
    assert pair is not None
    renewed = attacked.kept(attacked.with_pair(pair, tmp_path / "new"))
    assert [thief.renew("web-01")[0].code for _ in range(5)] == ["rate-limited"] * 5
    assert renewed.ask("GET", POLL).status == 200  # it was seen
    assert [thief.renew("web-01")[0].code for _ in range(5)] == ["access-denied"] * 5
    assert renewed.ask("GET", POLL).status == 200
    assert attacked.stored("web-01").serial == certificates.serial(pair.certificate)
    eventually(lambda: not attacked.stored("web-01").previous_may_renew)
    for each in (owner, thief, renewed):
        each.close()


def test_a_certificate_of_an_authority_below_ours_with_a_known_serial_is_refused(
    attacked: Attacked, tmp_path: Path
) -> None:
    shutil.rmtree(attacked.machine.directory)
    attacked.init("--no-backup", "--lease-ttl", "30s", "--authority", authority_of_authorities(tmp_path / "ca"))
    honest = attacked.enrolled("web-01", Role.SERVER)
    attacked.serve()
    forged = forged_below(attacked, honest, tmp_path / "forged")
    context = honest.client_context()
    context.load_cert_chain(forged / "chain.pem", forged / "key.pem")
    attacker, owner = Kept(attacked.url, context), attacked.kept(honest)
    assert owner.ask("GET", POLL).status == 200
    refused = attacker.ask("GET", POLL)
    assert (refused.status, "own authority" in str(refused.body["detail"])) == (403, True)
    for each in (attacker, owner):
        each.close()


def test_a_renewal_for_a_key_of_an_unknown_type_is_invalid_input(attacked: Attacked) -> None:
    files = attacked.enrolled("web-01", Role.SERVER)
    attacked.serve()
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    der = request.sign(Ed25519PrivateKey.generate(), None).public_bytes(Encoding.DER)
    unknown = base64.encodebytes(der.replace(bytes.fromhex("06032b6570"), bytes.fromhex("06032b6578"), 1))
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{unknown.decode('ascii')}-----END CERTIFICATE REQUEST-----\n"
    kept = attacked.kept(files)
    answer = kept.ask("POST", "/v1/renewal", {"request": pem})
    assert (answer.status, answer.code) == (400, "invalid-input")
    kept.close()


def usage(*, signs: bool) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs, crl_sign=signs, decipher_only=False, **dict.fromkeys(others, False)
    )


def certificate(
    key: ec.EllipticCurvePrivateKey, name: x509.Name, issuer: x509.Name, signer: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .not_valid_before(utc_now() - timedelta(hours=1))
        .not_valid_after(utc_now() + timedelta(days=700))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage(signs=ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def authority_of_authorities(folder: Path) -> Path:
    """One that may sign authorities below it, as a company's PKI may hand out."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ours")])
    made = certificate(key, name, name, key, ca=True).serial_number(x509.random_serial_number()).sign(key, SHA256())
    folder.mkdir()
    (folder / "certificate.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(pem(key))
    (folder / "key.pem").chmod(0o600)
    return folder


def forged_below(attacked: Attacked, honest: IdentityFiles, folder: Path) -> Path:
    """A certificate of the same name and serial, of an authority that ours signed for another purpose."""
    ours = assembly.authority(attacked.config)
    root, root_key = x509.load_pem_x509_certificate(ours.certificate), certificates._private_key(ours)
    theirs, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    below = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "below")])
    sub = certificate(theirs, below, root.subject, root_key, ca=True).serial_number(x509.random_serial_number())
    known = x509.load_pem_x509_certificate(honest.certificate())
    names = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    leaf = (
        certificate(key, known.subject, below, theirs, ca=False)
        .serial_number(known.serial_number)
        .add_extension(names, critical=False)
        .sign(theirs, SHA256())
    )
    folder.mkdir()
    chain = leaf.public_bytes(Encoding.PEM) + sub.sign(root_key, SHA256()).public_bytes(Encoding.PEM)
    (folder / "chain.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(SecretBytes(pem(key)).reveal())
    return folder
