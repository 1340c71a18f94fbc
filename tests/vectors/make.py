"""Make the vectors in this folder: `python tests/vectors/make.py CRYPTOGRAPHY_VECTORS_FOLDER CCTV_AGE_INDEX_JS`.

README.md says more."""

from __future__ import annotations

import base64
import json
import re
import runpy
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = Path(__file__).parent
SYSTEM = "5ca1ab1e0000000000000000c0ffee00"
APPLICATION = "a11ce0000000000000000000000000b0"
MASTER = bytes(range(32))
PER_GROUP = 3


def save(name: str, content: object) -> None:
    (HERE / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def cases(path: Path) -> list[dict[str, str]]:
    """NIST CAVS response file: every case with the bracketed group that it is in."""
    found, group, case = [], {}, {}
    for line in [*path.read_text("ascii").splitlines(), ""]:
        if match := re.fullmatch(r"\[(\w+) = (\d+)\]", line):
            group[match[1]] = match[2]
        elif match := re.fullmatch(r"(\w+) = ?(.*)", line):
            case[match[1]] = match[2]
        elif line == "FAIL":
            case["FAIL"] = "yes"
        elif not line and case:
            found.append({**group, **case})
            case = {}
    return found


def aes_gcm(folder: Path) -> list[dict[str, object]]:
    chosen = []
    for name in ("gcmEncryptExtIV256.rsp", "gcmDecrypt256.rsp"):
        for case in cases(folder / "ciphers/AES/GCM" / name):
            wanted = int(case["Count"]) < PER_GROUP
            if (case["IVlen"], case["Taglen"]) == ("96", "128") and wanted:
                texts = {key.lower(): case.get(key, "") for key in ("Key", "IV", "AAD", "PT", "CT", "Tag")}
                chosen.append({"from": f"{name}, {case['Count']}", **texts, "valid": "FAIL" not in case})
    return chosen


def hkdf(folder: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for line in (folder / "KDF/rfc-5869-HKDF-SHA256.txt").read_text("ascii").splitlines():
        if line.startswith("COUNT"):
            found.append({})
        elif match := re.fullmatch(r"(IKM|salt|info|L|OKM) +=\s*(\w*)", line):
            found[-1][match[1].lower()] = match[2]
    return found


def hpke(folder: Path) -> list[dict[str, object]]:
    everything = [
        *json.loads((folder / "HPKE/test-vectors.json").read_text("ascii")),
        *json.loads((folder / "HPKE/hpke-pq-test-vectors.json").read_text("ascii")),
    ]
    suites = {(0, 0x20, 1, 2), (0, 0x647A, 1, 3)}
    keys = ("mode", "kem_id", "kdf_id", "aead_id", "info", "skRm", "pkRm", "enc")
    return [
        {**{key: vector[key] for key in keys}, "first": vector["encryptions"][0]}
        for vector in everything
        if (vector["mode"], vector["kem_id"], vector["kdf_id"], vector["aead_id"]) in suites
    ]


def credential() -> dict[str, object]:
    """By the letter of docs/formats.md, without keysvc."""

    def prefixed(part: bytes) -> bytes:
        return len(part).to_bytes(4, "big") + part

    version, nonce = (4).to_bytes(4, "big"), bytes.fromhex("000102030405060708090a0b")
    key = HKDF(
        SHA256(), 32, salt=bytes.fromhex(SYSTEM), info=b"keysvc credential key v1" + APPLICATION.encode()
    ).derive(MASTER)
    parts = [SYSTEM.encode(), APPLICATION.encode(), b"SAP", b"alice", b"password", b"pin"]
    plaintext = '{"password":"geheim & süß","pin":"0000"}'.encode()
    sealed = AESGCM(key).encrypt(nonce, plaintext, b"".join(map(prefixed, parts)) + version)
    return {
        "system_id": SYSTEM,
        "application_id": APPLICATION,
        "application": "SAP",
        "user": "alice",
        "labels": ["user id", "password", "pin"],
        "version": 4,
        "master": MASTER.hex(),
        "key": key.hex(),
        "fields": json.loads(plaintext),
        "ciphertext": (b"\x01" + version + nonce + sealed).hex(),
    }


def ticket() -> dict[str, object]:
    """By the letter of docs/formats.md, without keysvc."""

    def prefixed(part: bytes) -> bytes:
        return len(part).to_bytes(4, "big") + part

    key = HKDF(SHA256(), 32, salt=bytes.fromhex(SYSTEM), info=b"keysvc ticket key v1").derive(MASTER)
    issued, expires = 1_770_091_506, 1_770_091_626
    content = b"\x01" + (4).to_bytes(4, "big") + bytes(range(16))
    content += issued.to_bytes(8, "big") + expires.to_bytes(8, "big") + prefixed(b"alice") + prefixed(b"web-01")
    tag = HMAC(key, SHA256())
    tag.update(content)
    return {
        "system_id": SYSTEM,
        "version": 4,
        "master": MASTER.hex(),
        "key": key.hex(),
        "ticket_id": bytes(range(16)).hex(),
        "issued_at": issued,
        "expires_at": expires,
        "user": "alice",
        "requester": "web-01",
        "ticket": "keysvc-ticket-1." + base64.urlsafe_b64encode(content + tag.finalize()).decode().rstrip("="),
    }


def backup() -> dict[str, object]:
    write_age = runpy.run_path(str(HERE.parent / "unit/crypto/conftest.py"))["write_age"]
    passphrase = "correct horse battery staple"
    header = (
        f"keysvc-backup: 1\nsystem: {SYSTEM}\ncreated: 2026-02-03T04:05:06+00:00\n"
        "versions: 3,4\nreminder: in the safe, second shelf\n"
    )
    secrets = []
    for version, material in ((3, bytes(reversed(MASTER))), (4, MASTER)):
        check = HMAC(material, SHA256())
        check.update(b"keysvc key check value v1" + version.to_bytes(4, "big"))
        created = f"2026-01-0{version}T00:00:00Z"
        value = check.finalize()[:8].hex()
        secrets.append(
            {
                "version": version,
                "created_at": created,
                "material": base64.b64encode(material).decode(),
                "check_value": value,
            }
        )
    inside = json.dumps({"header": header, "versions": secrets}, indent=1).encode()
    content = header.encode() + b"\n" + write_age(inside, passphrase)
    return {"passphrase": passphrase, "inside": inside.decode(), "content": content.decode()}


def age(index: Path) -> dict[str, str]:
    """The vectors of the C2SP project for age, in base64, without those of hybrid keys and those of 29 kB."""
    found = re.findall(r'// \.\./testdata/(\w+)\nvar \w+ = __toBinary\("([^"]+)"\)', index.read_text("utf-8"))
    wanted = {name: text for name, text in found if "hybrid" not in name and len(text) < 9999}
    return {name: text + "=" * (-len(text) % 4) for name, text in wanted.items()}


def main() -> None:
    folder = Path(sys.argv[1])
    save("age_c2sp.json", age(Path(sys.argv[2])))
    save("aes_256_gcm_nist.json", aes_gcm(folder))
    save("hkdf_sha256_rfc5869.json", hkdf(folder))
    save("hpke.json", hpke(folder))
    save("credential.json", credential())
    save("ticket.json", ticket())
    save("backup.json", backup())


if __name__ == "__main__":
    main()
