"""A credential decrypts where it was put, and nowhere else."""

from __future__ import annotations

import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from keysvc.crypto.credentials import MAXIMUM_FIELD_BYTES, CredentialCipher, Reencryption, version_of
from keysvc.errors import CannotDecrypt, InvalidInput
from keysvc.model import Application, ApplicationType, EncryptedCredential, Field, MasterSecret, SecretBytes, SecretText

SYSTEM = "5ca1ab1e0000000000000000c0ffee00"
AT = datetime(2026, 2, 3, tzinfo=UTC)
FIELDS = (Field("user id", False), Field("password", True), Field("pin", True))
SAP = Application("SAP", "a11ce0000000000000000000000000b0", ApplicationType.INDIVIDUAL, FIELDS)
any_text = st.text(st.characters(exclude_categories=["Cs"]))


def secret(version=4, fill=7):
    return MasterSecret(version, AT, SecretBytes(bytes([fill]) * 32))


CIPHER = CredentialCipher(secret(), SYSTEM)
STORED = CIPHER.encrypt(SAP, "alice", {"password": SecretText("s3cret"), "pin": SecretText("0000")})


@given(any_text, any_text, any_text)
def test_any_unicode_comes_back(password, pin, user):
    fields = {"password": SecretText(password), "pin": SecretText(pin)}
    assert CIPHER.decrypt(SAP, user, CIPHER.encrypt(SAP, user, fields)) == fields


@given(st.sets(st.sampled_from(["password", "pin"])))
def test_any_subset_of_the_fields_comes_back(labels):
    fields = {label: SecretText(label) for label in labels}
    assert CIPHER.decrypt(SAP, "alice", CIPHER.encrypt(SAP, "alice", fields)) == fields


@pytest.mark.parametrize("at", range(len(STORED)))
def test_every_flipped_bit_is_refused(at):
    for bit in range(8):
        changed = bytearray(STORED)
        changed[at] ^= 1 << bit
        with pytest.raises(CannotDecrypt):
            CIPHER.decrypt(SAP, "alice", bytes(changed))


@pytest.mark.parametrize("length", range(len(STORED)))
def test_every_torn_ciphertext_is_refused(length):
    with pytest.raises(CannotDecrypt):
        CIPHER.decrypt(SAP, "alice", STORED[:length])


MOVED = {
    "another user": (CIPHER, SAP, "alicf"),
    "a user that is not text": (CIPHER, SAP, "\ud800"),
    "another application of the same id": (CIPHER, replace(SAP, name="SAQ"), "alice"),
    "another application of the same name": (CIPHER, replace(SAP, application_id="b" * 32), "alice"),
    "another system": (CredentialCipher(secret(), "0" * 32), SAP, "alice"),
    "another version": (CredentialCipher(secret(version=5), SYSTEM), SAP, "alice"),
    "another master secret": (CredentialCipher(secret(fill=8), SYSTEM), SAP, "alice"),
    "a field less": (CIPHER, replace(SAP, fields=FIELDS[:2]), "alice"),
    "a field more": (CIPHER, replace(SAP, fields=(*FIELDS, Field("more", False))), "alice"),
    "fields in another order": (CIPHER, replace(SAP, fields=(FIELDS[0], FIELDS[2], FIELDS[1])), "alice"),
    "a field of another label": (CIPHER, replace(SAP, fields=(*FIELDS[:2], Field("pim", True))), "alice"),
}


@pytest.mark.parametrize("where", MOVED)
def test_a_moved_row_is_refused_and_the_message_does_not_say_why(where):
    cipher, application, user = MOVED[where]
    with pytest.raises(CannotDecrypt) as moved:
        cipher.decrypt(application, user, STORED)
    with pytest.raises(CannotDecrypt) as junk:
        CIPHER.decrypt(SAP, "alice", b"junk")
    assert str(moved.value) == str(junk.value)


@given(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=3)] * 4)
def test_no_two_places_have_the_same_associated_data(name, user, other_name, other_user):
    one = CIPHER.key(replace(SAP, name=name)).associated(user)
    other = CIPHER.key(replace(SAP, name=other_name)).associated(other_user)
    assert (one == other) == ((name, user) == (other_name, other_user))


def test_the_description_and_the_label_of_the_user_id_do_not_count():
    changed = replace(SAP, description="changed", fields=(Field("renamed", True), *FIELDS[1:]))
    assert CIPHER.decrypt(changed, "alice", STORED)["pin"] == SecretText("0000")


def test_the_same_credential_never_looks_the_same_twice():
    fields = {"pin": SecretText("0000")}
    assert len({CIPHER.encrypt(SAP, "alice", fields)[5:17] for _ in range(100)}) == 100


def test_a_version_is_read_off_the_ciphertext():
    assert version_of(STORED) == 4
    assert version_of(CredentialCipher(secret(version=2**32 - 1), SYSTEM).encrypt(SAP, "a", {})) == 2**32 - 1


@pytest.mark.parametrize("changed", [b"", STORED[:32], b"\x02" + STORED[1:], b"\x01\0\0\0\0" + STORED[5:]],
                         ids=["empty", "short", "format", "version 0"])  # fmt: skip
def test_what_is_no_ciphertext_has_no_version(changed):
    with pytest.raises(CannotDecrypt):
        version_of(changed)


def test_a_version_written_over_another_is_refused_even_where_the_material_is_the_same():
    with pytest.raises(CannotDecrypt):
        CredentialCipher(secret(version=5), SYSTEM).decrypt(SAP, "alice", b"\x01\0\0\0\x05" + STORED[5:])


NEW = CredentialCipher(secret(version=5, fill=9), SYSTEM)


def row(user="alice", ciphertext=STORED):
    return EncryptedCredential("SAP", user, 4, ciphertext, revision=3)


def test_re_encrypting_moves_to_the_new_version_and_nothing_else():
    [moved], failed = Reencryption(CIPHER, NEW, SAP).move([row()])
    assert failed == []
    assert moved == replace(row(), version=5, ciphertext=moved.ciphertext)
    assert version_of(moved.ciphertext) == 5
    assert NEW.decrypt(SAP, "alice", moved.ciphertext) == CIPHER.decrypt(SAP, "alice", STORED)


def test_no_two_rows_of_a_page_are_re_encrypted_with_one_nonce():
    move = Reencryption(CIPHER, NEW, SAP).move
    pages = [move([row()] * 100)[0] for _ in range(2)]
    assert len({moved.ciphertext[5:17] for page in pages for moved in page}) == 200


@pytest.mark.parametrize("where", MOVED)
def test_a_moved_row_is_not_re_encrypted(where):
    cipher, application, user = MOVED[where]
    assert Reencryption(cipher, NEW, application).move([row(user)]) == ([], [row(user)])


def test_a_changed_or_torn_row_is_not_re_encrypted_and_the_others_are():
    flipped = [STORED[:at] + bytes([STORED[at] ^ 1]) + STORED[at + 1 :] for at in range(len(STORED))]
    torn = [STORED[:length] for length in range(len(STORED))]
    bad = [row(ciphertext=changed) for changed in flipped + torn]
    moved, failed = Reencryption(CIPHER, NEW, SAP).move([row(), *bad, row()])
    assert len(moved) == 2
    assert failed == bad


@pytest.mark.parametrize("label", ["user id", "nonsense"])
def test_a_field_that_the_application_lacks_is_refused_by_name(label):
    with pytest.raises(InvalidInput, match=label):
        CIPHER.encrypt(SAP, "alice", {label: SecretText("x")})


def test_a_field_may_have_64_kib_in_utf8_and_not_a_byte_more():
    CIPHER.encrypt(SAP, "alice", {"pin": SecretText("ü" * (MAXIMUM_FIELD_BYTES // 2))})
    with pytest.raises(InvalidInput, match="pin"):
        CIPHER.encrypt(SAP, "alice", {"pin": SecretText("ü" * (MAXIMUM_FIELD_BYTES // 2) + "x")})


def test_a_lone_surrogate_is_refused_and_the_value_leaks_nowhere():
    fields = {"pin": SecretText("hunter2\ud800")}
    with pytest.raises(InvalidInput, match="pin") as refused:
        CIPHER.encrypt(SAP, "alice", fields)
    assert refused.value.__context__ is None
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))
    with pytest.raises(InvalidInput):
        CIPHER.encrypt(SAP, "\udfff", {})


def test_threads_share_a_cipher():
    def round_trip(number):
        application = replace(SAP, application_id=f"{number % 5:032x}")
        value = {"pin": SecretText(str(number))}
        user = str(number)
        return CIPHER.decrypt(application, user, CIPHER.encrypt(application, user, value)) == value

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(400)))


def test_nothing_of_the_secret_is_in_a_repr():
    assert "07" not in repr(CIPHER).split(" at ")[0]
    assert "s3cret" not in repr(CIPHER.decrypt(SAP, "alice", STORED))
