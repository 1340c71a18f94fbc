"""The small private certificate authority: ECDSA P-256, X.509 v3 (RFC 5280). The only place that knows certificates.

A certificate names its owner in a URI: `keysvc://SYSTEM/ROLE/NAME`.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import secrets
from collections import abc
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from urllib.parse import quote, unquote, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keysvc.errors import AccessDenied, ConfigurationError, InvalidInput, ProtocolError
from keysvc.model import Role, SecretBytes

AUTHORITY_LIFETIME = timedelta(days=3650)
LIFETIME = timedelta(days=365)
BACKDATED = timedelta(hours=1)
MAXIMUM_NAME_LENGTH = 200
REMEMBERED_CERTIFICATES = 16384
OTHER_AUTHORITY = "use a certificate of this system: a token of keysvc server enroll NAME there, then keysvc join"
READMIT = "check the clock; if it is right: keysvc server readmit NAME, on the machine that holds the authority"
UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for a certificate or a request, also when a part of it is asked for later."""
_Part = TypeVar("_Part")
_COMMON_NAME_BYTES = 64
_DNS_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: SecretBytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who a certificate says that its owner is."""

    name: str
    role: Role
    system_id: str
    serial: str
    certificate: x509.Certificate = field(repr=False, compare=False)

    def check(self, authority: bytes, now: datetime) -> None:
        """Raise AccessDenied unless `authority` (PEM) itself signed the certificate and it is valid at `now`.

        TLS also accepts what an authority below ours signed, and checks the dates only when a connection begins.
        """
        self.check_issuer(authority)
        if problem := self.problem_with_dates(now):
            raise AccessDenied(problem, hint=READMIT)

    def check_issuer(self, authority: bytes) -> None:
        """Raise AccessDenied unless `authority` (PEM) itself signed the certificate, whatever its dates are."""
        if not _issued_by(self.certificate, authority):
            raise AccessDenied(
                f"the certificate of {self.name} was not signed by this system's own authority", hint=OTHER_AUTHORITY
            )

    def problem_with_dates(self, now: datetime) -> str:
        """What is wrong with the dates of the certificate at `now`, and the date; empty when it is valid."""
        begins, ends = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        if now < begins:
            return f"the certificate of {self.name} is not yet valid: it begins on {begins:%Y-%m-%d %H:%M} UTC"
        return "" if now < ends else f"the certificate of {self.name} expired on {ends:%Y-%m-%d %H:%M} UTC"


@functools.lru_cache(maxsize=REMEMBERED_CERTIFICATES)
def _issued_by(certificate: x509.Certificate, authority: bytes) -> bool:
    """Remembered, because it is asked for each request."""
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def check_name(name: str) -> None:
    """Raises InvalidInput unless `name` can be in a certificate."""
    if not (0 < len(name) <= MAXIMUM_NAME_LENGTH and name.isprintable() and "/" not in name and name == name.strip()):
        raise InvalidInput(
            f"a name has 1 to {MAXIMUM_NAME_LENGTH} printable characters, no slash, and no blanks around it"
        )


def check_key(pair: KeyPair) -> None:
    """Raise ConfigurationError unless the private key is that of the certificate."""
    if _private_key(pair).public_key() != _read(pair.certificate, lambda read: read.public_key()):
        raise ConfigurationError("the private key is not that of the certificate")


def create_authority(system_id: str, *, now: datetime) -> KeyPair:
    """A self-signed authority that signs leaves only, good for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "keysvc"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"keysvc {system_id}"),
        ]
    )
    usage = _usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        _builder(name, name, key.public_key(), now, now.astimezone(UTC) + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return _pair(certificate, key)


def check_authority(given: KeyPair, *, now: datetime) -> None:
    """Raises ConfigurationError unless it is an authority with its key, that may sign certificates now."""
    try:
        certificate = x509.load_pem_x509_certificate(given.certificate)
        is_one = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        signs = certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        begins, ends, public = (
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            certificate.public_key(),
        )
    except UNREADABLE as error:
        raise ConfigurationError(
            f"the certificate of the authority cannot be used: {error}",
            hint="it needs basic constraints, a key usage and a subject key identifier (RFC 5280)",
        ) from None
    if not (is_one and signs):
        raise ConfigurationError("the certificate that was given is no authority that signs certificates")
    if _private_key(given).public_key() != public:
        raise ConfigurationError("the private key is not that of the authority's certificate")
    if now < begins:
        raise ConfigurationError(f"the certificate authority is not yet valid: it begins on {begins:%Y-%m-%d}")
    if now >= ends:
        raise ConfigurationError(f"the certificate authority expired on {ends:%Y-%m-%d}")


def issue(
    authority: KeyPair, name: str, role: Role, *, now: datetime, hosts: abc.Sequence[str] = (), system_id: str = ""
) -> KeyPair:
    """A fresh key and its certificate, good for a year. `system_id` is needed unless `create_authority` made the
    authority, which then names it."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _pair(_leaf(authority, key.public_key(), name, role, now=now, hosts=hosts, system_id=system_id), key)


def request(name: str) -> tuple[bytes, SecretBytes]:
    """A fresh key and a certificate request (PKCS #10, PEM) for it."""
    check_name(name)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _shown(name)
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return made.public_bytes(Encoding.PEM), _pem(key)


def sign_request(
    authority: KeyPair,
    csr: bytes,
    name: str,
    role: Role,
    *,
    now: datetime,
    hosts: abc.Sequence[str] = (),
    system_id: str = "",
) -> bytes:
    """A certificate for the public key of a request. Name, role and hosts are ours: the request's are not looked at.
    Raises InvalidInput."""
    try:
        found = x509.load_pem_x509_csr(csr)
        public = found.public_key()
        valid = found.is_signature_valid
    except UNREADABLE:
        raise InvalidInput("the certificate request cannot be read") from None
    if not valid or not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise InvalidInput("the certificate request must be signed with its own P-256 key")
    leaf = _leaf(authority, public, name, role, now=now, hosts=hosts, system_id=system_id)
    return leaf.public_bytes(Encoding.PEM)


def peer_of(certificate_der: bytes) -> Peer:
    """Who its owner is. Trust nothing that it says before TLS has verified it. Raises AccessDenied."""
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uri = urlsplit(names.get_values_for_type(x509.UniformResourceIdentifier)[0])
        _, role, name = uri.path.split("/")
        if uri.scheme != "keysvc":
            raise ValueError(uri.scheme)
        return Peer(unquote(name), Role(role), uri.netloc, f"{certificate.serial_number:x}", certificate)
    except (*UNREADABLE, IndexError):
        raise AccessDenied("the certificate names no owner in a keysvc system", hint=OTHER_AUTHORITY) from None


def authority_system_id(certificate_pem: bytes) -> str:
    """The system that an authority is of. Raises ProtocolError."""
    attributes = _read(certificate_pem, lambda read: read.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
    prefix, _, system_id = str(attributes[0].value if attributes else "").partition(" ")
    if prefix != "keysvc" or len(system_id) != 32:
        raise ProtocolError("the certificate is not of a keysvc system's authority")
    return system_id


def fingerprint(certificate_pem: bytes) -> str:
    """SHA-256 of the DER, in hex. Raises ProtocolError."""
    return _read(certificate_pem, lambda read: read.fingerprint(SHA256()).hex())


def first(certificate_pem: bytes) -> bytes:
    """The first certificate alone, as PEM: what `fingerprint` is of. Raises ProtocolError."""
    return _read(certificate_pem, lambda read: read.public_bytes(Encoding.PEM))


def serial(certificate_pem: bytes) -> str:
    """In hex. Raises ProtocolError."""
    return _read(certificate_pem, lambda read: f"{read.serial_number:x}")


def not_after(certificate_pem: bytes) -> datetime:
    """When it ends. Raises ProtocolError."""
    return _read(certificate_pem, lambda read: read.not_valid_after_utc)


def renewal_is_due(certificate_pem: bytes, now: datetime) -> bool:
    """Whether the last third of its life has begun, or its life has not: the clock was ahead when it was issued. Raises
    ProtocolError."""
    begins, ends = _read(certificate_pem, lambda read: (read.not_valid_before_utc, read.not_valid_after_utc))
    return now < begins or ends - now < (ends - begins - BACKDATED) / 3


def is_valid(certificate_pem: bytes, now: datetime) -> bool:
    """Whether its dates allow it to be used. Raises ProtocolError."""
    begins, ends = _read(certificate_pem, lambda read: (read.not_valid_before_utc, read.not_valid_after_utc))
    return begins <= now < ends


def _read(certificate_pem: bytes, part: abc.Callable[[x509.Certificate], _Part]) -> _Part:
    """Some parts are only parsed when they are asked for."""
    try:
        return part(x509.load_pem_x509_certificate(certificate_pem))
    except UNREADABLE:
        raise ProtocolError("the certificate cannot be read") from None


def _leaf(
    authority: KeyPair,
    public: ec.EllipticCurvePublicKey,
    name: str,
    role: Role,
    *,
    now: datetime,
    hosts: abc.Sequence[str],
    system_id: str,
) -> x509.Certificate:
    check_name(name)
    signer = x509.load_pem_x509_certificate(authority.certificate)
    system_id = system_id or authority_system_id(authority.certificate)
    uri = f"keysvc://{system_id}/{role.value}/{quote(name, safe='')}"
    subject = _shown(name)
    names = [x509.UniformResourceIdentifier(uri), *map(_host, hosts)]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
    ends = min(now.astimezone(UTC) + LIFETIME, signer.not_valid_after_utc)
    if ends <= now:
        raise ConfigurationError(
            f"the certificate authority expired on {signer.not_valid_after_utc:%Y-%m-%d}: nobody can be enrolled",
            hint="check the clock; if it is right, a new system is needed: keysvc init, with its own authority",
        )
    key_id = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(subject, signer.subject, public, now, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        .sign(_private_key(authority), SHA256())
    )


def _private_key(pair: KeyPair) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pair.key.reveal(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError("the private key cannot be read, or is not on a curve") from None
    return key


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(secrets.randbits(127) + 1)
        .not_valid_before(now.astimezone(UTC) - BACKDATED)
        .not_valid_after(ends)
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _DNS_NAME.fullmatch(host):
            raise InvalidInput(f"{host!r} is neither a DNS name in ASCII nor an IP address") from None
        return x509.DNSName(host)


def _shown(name: str) -> x509.Name:
    """For people; X.509 allows 64 bytes. Who it is, in full, is in the URI."""
    short = name.encode()[:_COMMON_NAME_BYTES].decode(errors="ignore")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, short)])


def _pem(key: ec.EllipticCurvePrivateKey) -> SecretBytes:
    return SecretBytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(certificate.public_bytes(Encoding.PEM), _pem(key))
