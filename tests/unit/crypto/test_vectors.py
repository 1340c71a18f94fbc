"""The library that we call, and how we call it, against published vectors; and our formats against our own."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keysvc.crypto import backup_file, tickets, transport
from keysvc.crypto.credentials import CredentialCipher
from keysvc.model import Application, ApplicationType, Field, MasterSecret, SecretBytes, SecretText

unhex = bytes.fromhex


def test_aes_256_gcm_of_nist(vectors):
    cases = vectors("aes_256_gcm_nist.json")
    assert {case["valid"] for case in cases} == {True, False}
    for case in cases:
        key, sealed = AESGCM(unhex(case["key"])), unhex(case["ct"] + case["tag"])
        if case["valid"]:
            assert key.decrypt(unhex(case["iv"]), sealed, unhex(case["aad"])) == unhex(case["pt"])
            assert key.encrypt(unhex(case["iv"]), unhex(case["pt"]), unhex(case["aad"])) == sealed
        else:
            with pytest.raises(InvalidTag):
                key.decrypt(unhex(case["iv"]), sealed, unhex(case["aad"]))


def test_hkdf_sha256_of_rfc_5869(vectors):
    cases = vectors("hkdf_sha256_rfc5869.json")
    assert len(cases) == 3
    for case in cases:
        kdf = HKDF(SHA256(), int(case["l"]), salt=unhex(case["salt"]), info=unhex(case["info"]))
        assert kdf.derive(unhex(case["ikm"])) == unhex(case["okm"])


def hpke_case(vectors, kem_id):
    case = next(case for case in vectors("hpke.json") if case["kem_id"] == kem_id)
    first = case["first"]
    return case, unhex(case["enc"] + first["ct"]), unhex(first["aad"]), unhex(first["pt"])


def test_hpke_of_rfc_9180_in_the_suite_that_we_use(vectors):
    case, sealed, aad, plaintext = hpke_case(vectors, 0x20)
    private = X25519PrivateKey.from_private_bytes(unhex(case["skRm"]))
    suite = transport._SUITES["X25519"]
    assert private.public_key().public_bytes_raw() == unhex(case["pkRm"])
    assert openssl.hpke._decrypt_with_aad(suite, sealed, private, unhex(case["info"]), aad) == plaintext


@pytest.mark.skipif(transport.HYBRID not in transport.KEMS, reason="this machine's cryptography has no ML-KEM")
def test_hpke_with_the_hybrid_kem_and_its_public_key_as_we_lay_it_out(vectors):
    case, sealed, aad, plaintext = hpke_case(vectors, 0x647A)
    expanded = hashlib.shake_256(unhex(case["skRm"])).digest(96)
    mlkem, x25519 = (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        X25519PrivateKey.from_private_bytes(expanded[64:]),
    )
    assert mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw() == unhex(case["pkRm"])
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    private = MLKEM768X25519PrivateKey(mlkem, x25519)
    assert openssl.hpke._decrypt_with_aad(suite, sealed, private, unhex(case["info"]), aad) == plaintext


def test_a_credential_that_was_stored_by_the_first_release(vectors):
    case = vectors("credential.json")
    fields = tuple(Field(label, masked=True) for label in case["labels"])
    application = Application(case["application"], case["application_id"], ApplicationType.INDIVIDUAL, fields)
    secret = MasterSecret(case["version"], datetime(2026, 2, 3, tzinfo=UTC), SecretBytes(unhex(case["master"])))
    found = CredentialCipher(secret, case["system_id"]).decrypt(application, case["user"], unhex(case["ciphertext"]))
    assert {label: value.reveal() for label, value in found.items()} == case["fields"]


def test_what_is_encrypted_is_the_canonical_json_of_the_vector(vectors, monkeypatch):
    case = vectors("credential.json")
    fields = tuple(Field(label, masked=True) for label in case["labels"])
    application = Application(case["application"], case["application_id"], ApplicationType.INDIVIDUAL, fields)
    secret = MasterSecret(case["version"], datetime(2026, 2, 3, tzinfo=UTC), SecretBytes(unhex(case["master"])))
    monkeypatch.setattr("os.urandom", lambda size: bytes(range(size)))
    given = {label: SecretText(value) for label, value in reversed(case["fields"].items())}
    assert (
        CredentialCipher(secret, case["system_id"]).encrypt(application, case["user"], given).hex()
        == (case["ciphertext"])
    )


def test_a_ticket_of_the_first_release(vectors):
    case = vectors("ticket.json")
    secret = MasterSecret(case["version"], datetime(2026, 2, 3, tzinfo=UTC), SecretBytes(unhex(case["master"])))
    cipher = CredentialCipher(secret, case["system_id"])
    found = tickets.verify(cipher, SecretText(case["ticket"]))
    assert (found.ticket_id.hex(), found.user, found.requester) == (case["ticket_id"], case["user"], case["requester"])
    assert (found.issued_at.timestamp(), found.expires_at.timestamp()) == (case["issued_at"], case["expires_at"])
    assert tickets.sign(cipher, found).reveal() == case["ticket"]
    assert cipher.derive(b"keysvc ticket key v1").hex() == case["key"]


def test_a_backup_that_was_written_by_the_first_release(vectors):
    case = vectors("backup.json")
    found = backup_file.read(case["content"].encode(), SecretText(case["passphrase"]))
    assert found.header.versions == (3, 4)
    assert found.header.reminder == "in the safe, second shelf"
    assert [secret.material.reveal() for secret in found.secrets] == [bytes(reversed(range(32))), bytes(range(32))]
