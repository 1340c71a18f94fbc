"""Marked secrets, and where to look for them."""

from __future__ import annotations

import base64
from collections import abc
from pathlib import Path

CREDENTIAL = "canary-of-a-credential-8c1f"
OTHER_CREDENTIAL = "canary-of-a-second-credential-5e07"
PASSPHRASE = "canary-of-a-passphrase-6b2d"
KEY_STORE_PASSPHRASE = "canary-of-a-key-store-93a4"
NOTIFIER_PASSWORD = "canary-of-a-notifier-1d7e"
ALL = (CREDENTIAL, OTHER_CREDENTIAL, PASSPHRASE, KEY_STORE_PASSPHRASE, NOTIFIER_PASSWORD)


def forms(secret: bytes) -> dict[str, bytes]:
    """How a secret may look: plain, UTF-16, in hex, and in base64 at each of the three offsets."""
    found = {"plain": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode()}
    if secret.isascii():
        found["utf-16"] = secret.decode("ascii").encode("utf-16-le")
    for offset in range(3):
        whole = base64.b64encode(bytes(offset) + secret)
        found[f"base64 at {offset}"] = inner = whole[4 if offset else 0 : len(whole) // 4 * 4 - 4]
        found[f"URL-safe base64 at {offset}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return found


def leaks(written: abc.Mapping[str, bytes], secrets: abc.Iterable[bytes]) -> list[str]:
    """Where which secret stands, in which form."""
    looked_for = [(secret, form, text) for secret in secrets for form, text in forms(secret).items()]
    return [
        f"{where}: {secret[:24]!r} in {form}"
        for where, content in written.items()
        for secret, form, text in looked_for
        if text in content
    ]


def files_below(folder: Path, *but: Path) -> dict[str, bytes]:
    """The content of each file."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not any(path.is_relative_to(b) for b in but))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
