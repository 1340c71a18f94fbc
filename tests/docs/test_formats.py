"""docs/formats.md is enough to open what keysvc writes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keysvc.crypto import transport
from keysvc.crypto.credentials import CredentialCipher
from keysvc.model import (
    Announcement,
    Application,
    ApplicationType,
    Field,
    MasterSecret,
    SecretBytes,
    VersionRecord,
    Versions,
    VersionState,
)
from keysvc.plugin.interfaces import KeyStoreInfo
from keysvc.plugin.sealed import SealedKeyStore

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/formats.md").read_text("utf-8")
AT = datetime(2026, 2, 3, tzinfo=UTC)


def block(language, containing):
    return next(text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if containing in text)


EXAMPLE = dict(re.split(r" {2,}", line, maxsplit=1) for line in block("text", "ciphertext").splitlines())


def test_the_example_decrypts_with_the_program_on_the_page_and_cryptography_alone():
    program = block("python", "AESGCM")
    assert set(re.findall(r"^(?:from|import) (\w+)", program, re.MULTILINE)) == {"cryptography"}
    found = {"example": EXAMPLE}
    exec(program, found)
    assert found["plaintext"] == EXAMPLE["plaintext"]
    assert json.loads(found["plaintext"]) == {"password": "geheim & süß", "pin": "0000"}
    assert found["key"].hex() == EXAMPLE["key"]


def test_keysvc_decrypts_the_example_too():
    fields = tuple(Field(label, masked=True) for label in ["user id", *EXAMPLE["labels"].split()])
    application = Application(EXAMPLE["application"], EXAMPLE["application id"], ApplicationType.INDIVIDUAL, fields)
    secret = MasterSecret(4, AT, SecretBytes(bytes.fromhex(EXAMPLE["master secret"])))
    cipher = CredentialCipher(secret, EXAMPLE["system id"])
    found = cipher.decrypt(application, EXAMPLE["user"], bytes.fromhex(EXAMPLE["ciphertext"]))
    assert {label: value.reveal() for label, value in found.items()} == json.loads(EXAMPLE["plaintext"])


def test_the_example_is_the_vector():
    vector = json.loads((ROOT / "tests/vectors/credential.json").read_text("utf-8"))
    assert (vector["ciphertext"], vector["key"]) == (EXAMPLE["ciphertext"], EXAMPLE["key"])


def test_the_etag_of_the_page():
    states = {3: VersionState.RETIRING, 4: VersionState.ACTIVE, 5: VersionState.ANNOUNCED}
    versions = Versions(VersionRecord(version, state, AT, "0123456789abcdef") for version, state in states.items())
    assert f"`{Announcement('', 7, versions, timedelta(seconds=30)).etag}`" in PAGE


def test_a_sealed_version_has_the_members_of_the_page_in_their_order():
    class Plain:
        def info(self):
            return KeyStoreInfo("plain:", "none", hardware=False, exportable=True)

        def seal(self, secret, context):
            return secret.reveal()

        def unseal(self, sealed, context):
            return SecretBytes(sealed)

        def close(self):
            pass

    shelf = {}
    SealedKeyStore(Plain(), shelf, EXAMPLE["system id"]).seal(MasterSecret(4, AT, SecretBytes(bytes(32))))
    table = PAGE.partition("## Sealed version")[2].partition("## File key store")[0]
    members = json.loads(shelf["version-0000000004"].partition(b"\n")[0])
    assert list(members) == re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    assert members["format"] in table


def test_what_is_sealed_for_a_fetch_has_the_sizes_and_the_context_of_the_page():
    table = PAGE.partition("## A version on its way")[2].partition("## Key check value")[0]
    for kem in transport.KEMS:
        row = next(line for line in table.splitlines() if line.startswith(f"| `{kem}`"))
        encapsulation, sealed = re.findall(r"\((\d+)\)", row.split("|")[-2])
        receiver = transport.ReceiverKey.generate(kem)
        made = transport.seal_to(kem, receiver.public, SecretBytes(bytes(32)), b"")
        assert len(made) == int(encapsulation) + int(sealed)
    expected = b"keysvc fetch v1" + b"\0\0\0\x02ab" + b"\0\0\0\x0212" + b"\0\0\0\x01c"
    assert transport.fetch_context("ab", 12, "c") == expected
