"""Decrypting a sample of today's credentials: the proof that a set of versions opens them."""

from __future__ import annotations

import secrets
from collections import abc

from keysvc.crypto.credentials import CredentialCipher
from keysvc.errors import CannotDecrypt
from keysvc.model import CredentialKey, EncryptedCredential, MasterSecret
from keysvc.plugin.interfaces import MappingStore

PER_APPLICATION = 50


def check_sample(store: MappingStore, system_id: str, versions: abc.Iterable[MasterSecret]) -> int:
    """Decrypt up to 2 × 50 credentials of each application, half of them from a random place on. Returns how many.

    Rows under a version that is not among `versions` are passed over. Raises CannotDecrypt, which names the row.
    """
    ciphers = {secret.version: CredentialCipher(secret, system_id) for secret in versions}
    checked: set[CredentialKey] = set()
    for application in store.applications():
        for row in _some(store, application.name):
            if row.version in ciphers and row.key not in checked:
                try:
                    ciphers[row.version].decrypt(application, row.user, row.ciphertext)
                except CannotDecrypt:
                    raise CannotDecrypt(
                        f"the credential of {row.user} for {application.name} does not decrypt, version {row.version}"
                    ) from None
                checked.add(row.key)
    return len(checked)


def _some(store: MappingStore, application: str) -> abc.Iterator[EncryptedCredential]:
    somewhere = secrets.choice("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    for user in ("", somewhere):
        for row in store.credentials(after=CredentialKey(application, user), limit=PER_APPLICATION):
            if row.application != application:
                break
            yield row
