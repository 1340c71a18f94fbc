"""Who a certificate belongs to, and that TLS at its strictest accepts it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings, strategies as st

from keysvc.crypto import certificates
from keysvc.errors import AccessDenied, ConfigurationError, InvalidInput, KeysvcError, ProtocolError
from keysvc.model import Role, host_name

SYSTEM = "5ca1ab1e0000000000000000c0ffee00"
NOW = datetime.now(UTC).replace(microsecond=0)
AUTHORITY = certificates.create_authority(SYSTEM, now=NOW)
HOST = host_name(Role.MASTER, SYSTEM)


def der(pem):
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def context(side, pair, directory, authority=AUTHORITY):
    made = ssl.SSLContext(side)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_verify_locations(cadata=authority.certificate.decode())
    certificate, key = directory / f"{side.name}.pem", directory / f"{side.name}.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key.reveal())
    made.load_cert_chain(certificate, key)
    return made


def shake_hands(server, client, host=HOST):
    """Both ends in memory; returns the certificates (DER) that each end saw."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname=host),
    ]
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    assert ends[0].version() == "TLSv1.3"
    return ends[0].getpeercert(binary_form=True), ends[1].getpeercert(binary_form=True)


def issue(name="server-1", role=Role.SERVER, **more):
    return certificates.issue(AUTHORITY, name, role, now=NOW, **more)


def test_mutual_tls_in_the_strictest_mode_tells_each_end_who_the_other_is(tmp_path):
    master = issue("master", Role.MASTER, hosts=[HOST, "127.0.0.1"])
    server = context(ssl.PROTOCOL_TLS_SERVER, master, tmp_path)
    client = context(ssl.PROTOCOL_TLS_CLIENT, issue("Jürgen / 1".replace("/", "|")), tmp_path)
    for host in (HOST, "127.0.0.1"):
        seen_by_server, seen_by_client = shake_hands(server, client, host)
    assert certificates.peer_of(seen_by_client).role is Role.MASTER
    found = certificates.peer_of(seen_by_server)
    assert (found.name, found.role, found.system_id) == ("Jürgen | 1", Role.SERVER, SYSTEM)


def test_a_certificate_of_another_authority_is_no_peer(tmp_path):
    other = certificates.create_authority(SYSTEM, now=NOW)
    stranger = certificates.issue(other, "server-1", Role.SERVER, now=NOW)
    server = context(ssl.PROTOCOL_TLS_SERVER, issue(hosts=[HOST]), tmp_path)
    client = context(ssl.PROTOCOL_TLS_CLIENT, stranger, tmp_path)
    with pytest.raises(ssl.SSLError):
        shake_hands(server, client)


def test_a_leaf_signs_nobody(tmp_path):
    leaf = issue(hosts=[HOST])
    key, parent = certificates._private_key(leaf), x509.load_pem_x509_certificate(leaf.certificate)
    grown = (
        certificates._builder(
            parent.subject, parent.subject, certificates._private_key(AUTHORITY).public_key(), NOW, NOW + timedelta(1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, SHA256())
    )
    forged = certificates.KeyPair(grown.public_bytes(Encoding.PEM) + leaf.certificate, AUTHORITY.key)
    server = context(ssl.PROTOCOL_TLS_SERVER, forged, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, context(ssl.PROTOCOL_TLS_CLIENT, issue(), tmp_path))


@pytest.mark.parametrize(
    ("pem", "authority"), [(AUTHORITY.certificate, True), (issue().certificate, False)], ids=["authority", "server"]
)
def test_only_the_authority_is_one_and_says_so_critically(pem, authority):
    extensions = x509.load_pem_x509_certificate(pem).extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert usage.critical
    assert constraints.value == x509.BasicConstraints(authority, 0 if authority else None)
    assert usage.value.key_cert_sign is authority


@settings(max_examples=30)
@given(st.text(min_size=1, max_size=200))
def test_every_name_that_is_accepted_comes_back(name):
    try:
        pair = issue(name, Role.ADMINISTRATOR)
    except InvalidInput:
        assert not name.isprintable() or "/" in name or name != name.strip()
    else:
        assert certificates.peer_of(der(pair.certificate)).name == name


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "\x1b", "x" * 201, "\ud800", " x"])
def test_a_bad_name_is_refused_everywhere(name):
    request, _ = certificates.request("good")
    calls = [
        lambda: certificates.check_name(name),
        lambda: issue(name),
        lambda: certificates.request(name),
        lambda: certificates.sign_request(AUTHORITY, request, name, Role.SERVER, now=NOW),
    ]
    for call in calls:
        with pytest.raises(InvalidInput):
            call()


@pytest.mark.parametrize("name", ["ü" * 200, "x" * 200, "a%2Fb", "…", ".."])
def test_a_long_or_odd_name_is_whole_in_the_certificate(name):
    assert certificates.peer_of(der(issue(name).certificate)).name == name
    assert certificates.request(name)


@pytest.mark.parametrize("host", ["", "bü.example", "a b", "a/b", "*.example", "-a", "x" * 254, "a\n"])
def test_a_host_that_is_none_is_refused(host):
    with pytest.raises(InvalidInput):
        issue(hosts=[host])


def test_of_a_request_only_the_key_is_taken():
    request, _ = certificates.request("i-am-master")
    pem = certificates.sign_request(AUTHORITY, request, "server-7", Role.SERVER, now=NOW, hosts=["h.example"])
    certificate, asked = x509.load_pem_x509_certificate(pem), x509.load_pem_x509_csr(request)
    assert certificate.public_key() == asked.public_key()
    assert b"i-am-master" not in der(pem)
    assert (certificates.peer_of(der(pem)).name, certificates.peer_of(der(pem)).role) == ("server-7", Role.SERVER)


def request_with(key, algorithm):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, algorithm)
    return made.public_bytes(Encoding.PEM)


def forged_request():
    raw = bytearray(ssl.PEM_cert_to_DER_cert(certificates.request("a")[0].decode().replace(" REQUEST", "")))
    at = raw.index(b"\x0c\x01a") + 2
    raw[at] ^= 3
    return ssl.DER_cert_to_PEM_cert(bytes(raw)).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()


@pytest.mark.parametrize(
    "request_pem",
    [
        b"",
        b"junk",
        AUTHORITY.certificate,
        forged_request(),
        request_with(ec.generate_private_key(ec.SECP384R1()), SHA256()),
        request_with(ed25519.Ed25519PrivateKey.generate(), None),
    ],
    ids=["empty", "junk", "a certificate", "forged", "P-384", "Ed25519"],
)
def test_a_bad_request_is_refused(request_pem):
    with pytest.raises(InvalidInput):
        certificates.sign_request(AUTHORITY, request_pem, "x", Role.SERVER, now=NOW)


def foreign(*names):
    key = certificates._private_key(AUTHORITY)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = certificates._builder(subject, subject, key.public_key(), NOW, NOW + timedelta(1))
    if names:
        uris = [x509.UniformResourceIdentifier(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(uris), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    "certificate",
    [
        b"junk",
        der(AUTHORITY.certificate),
        foreign(),
        foreign("https://example.com/server/x"),
        foreign(f"keysvc://{SYSTEM}/emperor/x"),
        foreign(f"keysvc://{SYSTEM}/server"),
        foreign(f"keysvc://{SYSTEM}/server/a/b"),
    ],
    ids=["junk", "the authority", "no name", "another scheme", "another role", "no server", "two servers"],
)
def test_a_certificate_that_names_no_peer_is_refused(certificate):
    with pytest.raises((AccessDenied, ProtocolError)):
        certificates.peer_of(certificate)


def test_a_serial_is_the_same_on_both_ways():
    pair = issue()
    assert certificates.serial(pair.certificate) == certificates.peer_of(der(pair.certificate)).serial
    assert certificates.serial(issue().certificate) != certificates.serial(pair.certificate)


def test_the_system_stands_in_the_authority():
    assert certificates.authority_system_id(AUTHORITY.certificate) == SYSTEM
    for pem in (b"junk", issue().certificate):
        with pytest.raises(ProtocolError):
            certificates.authority_system_id(pem)


@pytest.mark.parametrize("read", [certificates.serial, certificates.fingerprint, certificates.not_after])
def test_what_is_no_certificate_is_refused(read):
    with pytest.raises(ProtocolError):
        read(b"junk")


def test_a_leaf_is_good_for_a_year_and_never_longer_than_its_authority():
    assert certificates.not_after(issue().certificate) == NOW + timedelta(days=365)
    late = NOW + timedelta(days=3640)
    leaf = certificates.issue(AUTHORITY, "x", Role.SERVER, now=late)
    assert certificates.not_after(leaf.certificate) == certificates.not_after(AUTHORITY.certificate)
    with pytest.raises(KeysvcError):
        certificates.issue(AUTHORITY, "x", Role.SERVER, now=NOW + timedelta(days=4000))


def test_an_authority_without_a_usable_key_signs_nothing_and_shows_no_key():
    broken = certificates.KeyPair(AUTHORITY.certificate, certificates.SecretBytes(b"junk"))
    with pytest.raises(ConfigurationError):
        certificates.issue(broken, "x", Role.SERVER, now=NOW)
    assert "PRIVATE" not in repr(AUTHORITY)
