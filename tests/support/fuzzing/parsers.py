"""The targets that are a call: messages, certificates, tickets, backups, files and settings."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import hmac
import ssl
import struct
import tempfile
from collections import abc
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fuzzing.target import Opened, Target, Way, each, simply, text_of
from keysvc.cli import applications, audit, credential
from keysvc.crypto import age, age_keys, backup_file, certificates, tickets
from keysvc.crypto.credentials import CredentialCipher, version_of
from keysvc.entsso import reading
from keysvc.errors import KeysvcError
from keysvc.installation import config
from keysvc.master.join_token import JoinToken
from keysvc.model import (
    Application,
    ApplicationType,
    Field,
    Flags,
    MasterSecret,
    NameRule,
    Role,
    SecretBytes,
    SecretText,
    accounts_in,
    names,
    utc_now,
)
from keysvc.plugin.interfaces import Opening
from keysvc.plugin.location import Location
from keysvc.plugin.sealed import SealedKeyStore, entry_name
from keysvc.plugin.secret_sources import sourced
from keysvc.sso import static_authorizer as static
from keysvc.sso.credential_files import prepared, read_lines
from keysvc.stores import file_sealers, shares_sealer, slip39, sqlite
from keysvc.web.asgi import messages, problems
from keysvc.web.asgi.connection import decode
from keysvc.web.asgi.examples import EXAMPLES

SYSTEM_ID = "5" * 32
AT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
SECRET = MasterSecret(1, AT, SecretBytes(bytes(range(32))))
APPLICATION = Application(
    "SAP",
    "b" * 32,
    ApplicationType.INDIVIDUAL,
    (Field("User", masked=False), Field("Password", masked=True)),
    Flags(enabled=True),
)


def _asked(_what: str) -> SecretText:
    return SecretText("whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")


# -- messages ------------------------------------------------------------------------------------------------------


def _messages(content: bytes) -> Way:
    """As an answer of every kind."""
    problems.error_of(content, 400)
    return each(*(functools.partial(_answer, content, kind) for kind in EXAMPLES))


def _answer(content: bytes, kind: type) -> None:
    found = decode(SimpleNamespace(data=content), msgspec.json.Decoder(kind), "somebody")  # type: ignore[arg-type]
    if isinstance(found, messages.PollAnswer):
        found.announcement()


# -- certificates --------------------------------------------------------------------------------------------------


def _certificates(folder: Path) -> Opened:
    authority = certificates.create_authority(SYSTEM_ID, now=utc_now())

    def call(content: bytes) -> Way:
        pair = certificates.KeyPair(content, authority.key)
        return each(
            lambda: certificates.peer_of(content),
            lambda: certificates.sign_request(authority, content, "web", Role.SERVER, now=AT, system_id=SYSTEM_ID),
            lambda: certificates.check_authority(pair, now=AT),
            lambda: certificates.fingerprint(content),
            lambda: certificates.serial(content),
            lambda: certificates.renewal_is_due(content, AT),
            lambda: certificates.authority_system_id(content),
        )

    return contextlib.nullcontext(call)


def _certificate_seeds() -> list[bytes]:
    authority = certificates.create_authority(SYSTEM_ID, now=AT)
    leaf = certificates.issue(authority, "anna", Role.USER, now=AT, hosts=["anna.example", "::1"], system_id=SYSTEM_ID)
    request, _ = certificates.request("anna")
    der = ssl.PEM_cert_to_DER_cert(leaf.certificate.decode())
    return [authority.certificate, leaf.certificate, request, der]


def _join_token(content: bytes) -> None:
    JoinToken.parse(text_of(content))


def _ticket(content: bytes) -> Way:
    """As text; and as what whoever has the master secret signed."""
    cipher = CredentialCipher(SECRET, SYSTEM_ID)
    tag = hmac.digest(cipher.derive(b"keysvc ticket key v1"), content, hashlib.sha256)
    signed = tickets.PREFIX + base64.urlsafe_b64encode(content + tag).decode().rstrip("=")

    def read(text: str) -> None:
        tickets.version_of(SecretText(text))
        tickets.verify(cipher, SecretText(text))

    return each(lambda: read(text_of(content)), lambda: read(signed))


def _ticket_seeds() -> list[bytes]:
    content = struct.pack(">BI16sQQ", 1, 1, bytes(16), 1_700_000_000, 1_700_000_060)
    content += struct.pack(">I", 4) + b"anna" + struct.pack(">I", 4) + b"bert"
    signed = tickets.sign(
        CredentialCipher(SECRET, SYSTEM_ID), tickets.Claims(bytes(16), "anna", "bert", AT, AT.replace(hour=5))
    )
    return [content, signed.reveal().encode()]


# -- what is encrypted ---------------------------------------------------------------------------------------------


def _ciphertext(content: bytes) -> Way:
    """As a row, and as what is inside of one."""
    cipher = CredentialCipher(SECRET, SYSTEM_ID)

    def read(row: bytes) -> None:
        version_of(row)
        cipher.decrypt(APPLICATION, "anna", row)

    return each(lambda: read(content), lambda: read(cipher.encrypt_plain(APPLICATION, "anna", content)))


def _ciphertext_seeds() -> list[bytes]:
    row = CredentialCipher(SECRET, SYSTEM_ID).encrypt(APPLICATION, "anna", {"Password": SecretText("geheim")})
    return [row, b'{"Password":"geheim"}']


PASSPHRASE = SecretText("x" * 20)
KEY_OF_PASSPHRASE = mock.patch.object(age, "_scrypt", return_value=bytes(32))
"""Deriving it takes a second by intention: what is asked for is bounded, and read without."""


@contextlib.contextmanager
def _backup(_folder: Path) -> abc.Iterator[abc.Callable[[bytes], object]]:
    """As a file, and as one whose inside is not encrypted: no change of the inside would be seen otherwise."""

    def read_plain(content: bytes) -> None:
        with mock.patch.object(backup_file, "_decrypt", lambda sealed, _passphrase: sealed):
            backup_file.read(content, PASSPHRASE)

    def call(content: bytes) -> Way:
        return each(
            lambda: backup_file.read_header(content),
            lambda: backup_file.work_factor(content),
            lambda: backup_file.read(content, PASSPHRASE),
            lambda: read_plain(content),
        )

    with KEY_OF_PASSPHRASE:
        yield call


def _backup_seeds() -> list[bytes]:
    with KEY_OF_PASSPHRASE:
        sealed = backup_file.write([SECRET], SYSTEM_ID, AT, "in the safe", PASSPHRASE)
        head, _, inside = sealed.partition(b"\n\n")
        return [sealed, head + b"\n\n" + age.decrypt(inside, PASSPHRASE, "the backup")]


@contextlib.contextmanager
def _age(_folder: Path) -> abc.Iterator[abc.Callable[[bytes], object]]:
    """A file that is encrypted for a key or a passphrase, and a key."""

    def call(content: bytes) -> Way:
        age.is_encrypted(content)
        return each(
            lambda: age.work_factor(content, "the file"),
            lambda: age.decrypt(content, PASSPHRASE, "the file"),
            lambda: age.decrypt_with_key(content, SecretBytes(AGE_KEY), "the file"),
            lambda: age.decrypt_with_key(AGE_FILE, SecretBytes(content), "the file"),
        )

    with KEY_OF_PASSPHRASE:
        yield call


def _age_file() -> bytes:
    """A file for AGE_KEY, as age writes it."""
    (identity,) = age_keys.read(SecretBytes(AGE_KEY), "the file")
    assert isinstance(identity, age_keys.X25519Identity)
    own, ephemeral = identity.private.public_key(), X25519PrivateKey.generate()
    share, file_key, nonce = ephemeral.public_key().public_bytes_raw(), bytes(16), bytes(16)
    key = age.derive(ephemeral.exchange(own), share + own.public_bytes_raw(), b"age-encryption.org/v1/X25519")
    wrapped = ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)
    header = b"age-encryption.org/v1\n-> X25519 %b\n%b\n---" % (age._encode(share), age._encode(wrapped))
    payload = ChaCha20Poly1305(age.derive(file_key, nonce, b"payload")).encrypt(bytes(11) + b"\x01", b"geheim", None)
    return header + b" " + age._encode(age._mac(file_key, header).finalize()) + b"\n" + nonce + payload


def _age_seeds() -> list[bytes]:
    ssh = Ed25519PrivateKey.generate()
    private = ssh.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    assert age.decrypt_with_key(AGE_FILE, SecretBytes(AGE_KEY), "the file") == b"geheim"
    with KEY_OF_PASSPHRASE:
        return [AGE_KEY, AGE_FILE, age._armoured(AGE_FILE), age.encrypt(b"geheim", PASSPHRASE), private]


AGE_KEY = b"AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
AGE_FILE = _age_file()


@contextlib.contextmanager
def _sealed(_folder: Path) -> abc.Iterator[abc.Callable[[bytes], object]]:
    """What a file asks of Argon2 is bounded by 1 GiB; here by less."""
    shelf: dict[str, bytes] = {}
    sealer = file_sealers.PassphraseSealer("file:", _asked, lambda: True, iterations=1, memory_kib=8, lanes=1)
    store = SealedKeyStore(sealer, shelf, SYSTEM_ID)  # type: ignore[arg-type]

    def call(content: bytes) -> None:
        shelf[entry_name(1)] = content
        store.versions()
        store.unseal(1)

    with mock.patch.object(file_sealers.PassphraseSealer, "_MAXIMUM", (2, 64, 2)):
        yield call


def _sealed_seeds() -> list[bytes]:
    shelf: dict[str, bytes] = {}
    sealer = file_sealers.PassphraseSealer("file:", _asked, lambda: True, iterations=1, memory_kib=8, lanes=1)
    SealedKeyStore(sealer, shelf, SYSTEM_ID).seal(SECRET)  # type: ignore[arg-type]
    return list(shelf.values())


def _key_file(folder: Path) -> Opened:
    path = folder / "root.key"
    sealer = file_sealers.KeyFileSealer("file:", path, lambda: False)

    def call(content: bytes) -> None:
        path.write_bytes(content)
        path.chmod(0o600)
        sealer._read()

    return contextlib.nullcontext(call)


def _key_file_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "root.key")
        file_sealers.KeyFileSealer("file:", path, lambda: True).seal(SECRET.material, b"")
        return [path.read_bytes()]


def _share(content: bytes) -> None:
    """Lines of words, and whatever they combine to."""
    found: list[slip39.Share] = []
    for line in text_of(content).splitlines()[:5]:
        found.append(slip39.parse(SecretText(line), found))
    slip39.combine(found)


def _share_seeds() -> list[bytes]:
    shares = slip39.split(SecretBytes(bytes(range(32))), 2, 3)
    return ["\n".join(share.reveal() for share in shares[:2]).encode(), shares[2].reveal().encode()]


# -- files ---------------------------------------------------------------------------------------------------------


def _in_file(call: abc.Callable[[Path], object], name: str = "input") -> abc.Callable[[Path], Opened]:
    def opened(folder: Path) -> Opened:
        path = folder / name

        def write_and_call(content: bytes) -> None:
            path.write_bytes(content)
            call(path)

        return contextlib.nullcontext(write_and_call)

    return opened


def _changed(path: Path) -> None:
    config.load(path)
    config.change(path, {"listen": "127.0.0.1:7444", "masters": None, "plugins": ("a", "b")})


CONFIGURATION = f"""system_id = "{SYSTEM_ID}"
mapping_store = "sqlite:////var/lib/keysvc/keysvc.db"
master = "https://master:7443"
listen = "[::]:7443"
poll_interval = "30s"
notifiers = ["log:", {{ url = "log:", name = "b" }}]
[rotation]
every = "90d"
""".encode()
GROUPS = b"[groups]\n'NORDWIND\\SAP Users' = ['anna', 'NORDWIND\\Accounting']\n'NORDWIND\\Accounting' = ['bert']\n"
CSV = (
    b'application,user,external_user,Password\nSAP,anna,ANNA,geheim\nSAP,bert,,"a, ""b"""\n',
    b'{"application":"SAP","user":"anna","fields":{"Password":"geheim"},"external_user":"ANNA"}\n',
    "application;user;Password\nSAP;ännä;x\n".encode("utf-16"),
)
XML = (
    b'<sso><application name="SAP"><description>d</description><contact>c</contact>'
    b"<appUserAccount>N\\U;N\\V</appUserAccount>"
    b'<appAdminAccount>N\\A</appAdminAccount><field ordinal="0" label="User Id" masked="no"/>'
    b'<field ordinal="1" label="Password" masked="yes"/><flags groupApp="no" enableApp="yes"/></application></sso>',
    b"<sso><mapping><windowsDomain>N</windowsDomain><windowsUserId>anna</windowsUserId>"
    b"<externalApplication>SAP</externalApplication><externalUserId>A</externalUserId></mapping></sso>",
    b"<sso><globalInfo><ssoAdminAccount>N\\A</ssoAdminAccount>"
    b"<auditDeletedApps>1000</auditDeletedApps></globalInfo></sso>",
    '<?xml version="1.0" encoding="utf-16"?><sso><application name="ä"/></sso>'.encode("utf-16"),
)
EXPORT = (
    b'{"trail":"changes","sequence":1,"actor":"anna","link":"' + b"00" * 32 + b'"}\n'
    b'{"trail":"changes","end":1,"link":"' + b"00" * 32 + b'"}\n'
)


def _credentials(content: bytes) -> None:
    prepared(read_lines(content, "file"), "file", lambda _name: APPLICATION, NameRule.FOLDED)


# -- texts ---------------------------------------------------------------------------------------------------------


def _settings(content: bytes) -> Way:
    text = text_of(content)
    return each(
        lambda: config.duration("lease_ttl", text),
        lambda: config.host_and_port("listen", text),
        lambda: applications._flags([text]),
        lambda: accounts_in.__wrapped__(text),
        lambda: names.check_account("user", names.key(text)),
        lambda: certificates.check_name(text),
        lambda: shares_sealer.decoded(text),
    )


def _location(content: bytes) -> None:
    location = Location.parse(text_of(content))
    str(location), repr(location), location.local_path
    opening = Opening(location, _asked, SYSTEM_ID)
    with contextlib.suppress(KeysvcError):
        sqlite.open_sqlite(opening)
    if location.options.get("password-source", "env:").startswith("env:"):
        sourced(location, _asked)("password")


PLAIN = (
    Target("messages", simply(_messages), [msgspec.json.encode(each) for each in EXAMPLES.values()]),
    Target("certificates", _certificates, _certificate_seeds()),
    Target("join-token", simply(_join_token), [b"keysvc-join-1." + b"0" * 64 + b"." + b"s" * 32]),
    Target("tickets", simply(_ticket), _ticket_seeds()),
    Target("ciphertexts", simply(_ciphertext), _ciphertext_seeds(), maximum=2**20),
    Target("backup", _backup, _backup_seeds(), maximum=2**20),
    Target("age", _age, _age_seeds(), (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b"-> X25519 ", b"AGE-SECRET-KEY-1")),
    Target("sealed", _sealed, _sealed_seeds()),
    Target("key-file", _key_file, _key_file_seeds()),
    Target("shares", simply(_share), _share_seeds(), (b" academic", b" acid", b" zero")),
    Target("configuration", _in_file(_changed, "keysvc.toml"), [CONFIGURATION], (b"[[", b'"""', b"1979-05-27")),
    Target("static-groups", _in_file(static.read), [GROUPS]),
    Target("credential-files", simply(_credentials), CSV, (b"application,user", b'"', b"\n"), maximum=2**20),
    Target("entsso-xml", simply(lambda content: reading.read(content, "file")), XML, maximum=2**19),
    Target("audit-export", _in_file(audit._marks), [EXPORT], maximum=2**20),
    Target("fields-file", _in_file(credential.fields_from_file), [b'{"Password":"geheim"}'], maximum=2**20),
    Target(
        "settings",
        simply(_settings),
        [
            b"30s",
            b"250ms",
            b"90d",
            b"[::1]:7443",
            b"127.0.0.1:65535",
            b"allowTickets=yes",
            b"N\\anna;N\\bert",
            b"A" * 43,
        ],
        (b"ms", b"d", b"."),
        maximum=2**16,
    ),
    Target(
        "locations",
        simply(_location),
        [
            b"sqlite:////var/lib/keysvc.db?timeout=10",
            b"file:/etc/keysvc?passphrase-source=file:/x",
            b"a://u:p@h:1/p?q=1#f",
        ],
        (b"://", b"[::1]", b"password-source=env:X", b"timeout="),
    ),
)
