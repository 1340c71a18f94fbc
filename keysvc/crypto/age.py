"""Files that were encrypted with age (https://age-encryption.org), for a passphrase or for a key."""

from __future__ import annotations

from collections import abc

import pyrage

from keysvc.errors import InvalidInput, WrongPassphrase
from keysvc.model import SecretBytes, SecretText

_MARKS = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")
_WRONG = ("Decryption failed", "No matching keys found")  # how age says that no key opened its header


def is_encrypted(content: bytes) -> bool:
    """Whether this is an age file, armoured or not."""
    return content.lstrip().startswith(_MARKS)


def is_text(passphrase: SecretText) -> bool:
    """Whether it is Unicode that can be encoded: age takes no other."""
    try:
        passphrase.reveal().encode("utf-8")
    except UnicodeEncodeError:  # holds the passphrase: it must not become the context of the error that is raised
        return False
    return True


def encrypt(content: bytes, passphrase: SecretText) -> bytes:
    """Armoured. Raises InvalidInput for a passphrase that is not text."""
    if not is_text(passphrase):
        raise InvalidInput("the passphrase is not Unicode text")
    return bytes(pyrage.passphrase.encrypt(content, passphrase.reveal(), armored=True))


def decrypt(content: bytes, passphrase: SecretText, what: str) -> bytes:
    """Raises WrongPassphrase; InvalidInput when `what` is torn or was changed."""
    if not is_text(passphrase):
        raise WrongPassphrase(f"the passphrase does not open {what}")
    return _opened(lambda: pyrage.passphrase.decrypt(content, passphrase.reveal()), "passphrase", what)


def decrypt_with_key(content: bytes, key: SecretBytes, what: str) -> bytes:
    """`key` is the content of an age key file, or of an SSH private key. Raises as `decrypt`."""
    identities: list[object] = []
    try:
        if b"-----BEGIN" in key.reveal():
            identities.append(pyrage.ssh.Identity.from_buffer(key.reveal()))
        else:
            lines = key.reveal().decode("ascii").split()
            identities += [
                pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-")
            ]
    except (pyrage.IdentityError, UnicodeDecodeError):
        identities.clear()
    if not identities:
        raise InvalidInput(f"the key for {what} is no age key and no SSH private key")
    return _opened(lambda: pyrage.decrypt(content, identities), "key", what)


def _opened(decrypting: abc.Callable[[], bytes], by: str, what: str) -> bytes:
    try:
        return bytes(decrypting())
    except pyrage.DecryptError as error:
        if str(error) in _WRONG:
            raise WrongPassphrase(f"the {by} does not open {what}") from None
        raise InvalidInput(f"{what} is torn or was changed", hint="copy or encrypt it again") from None
