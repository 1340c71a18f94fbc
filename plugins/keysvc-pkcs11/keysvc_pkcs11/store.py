"""The key store: a sealer and a shelf over one token process."""

from __future__ import annotations

import json
from collections import abc

from keysvc.plugin import KeyStoreInfo, SealedKeyStore, SecretBytes, Shelf
from keysvc_pkcs11.process import TokenProcess, log

BEST_MECHANISM = "AES-GCM"
_SOFTWARE_MODELS = ("soft", "kryoptic")


def open_key_store(url: str, process: TokenProcess, system_id: str) -> SealedKeyStore:
    """Touches no token yet."""
    return SealedKeyStore(TokenSealer(url, process), TokenShelf(process), system_id)


class TokenSealer:
    """Seals under the KEK. What it says of itself is from the last use; nothing that it keeps is secret."""

    def __init__(self, url: str, process: TokenProcess) -> None:
        self._url = url
        self._process = process
        self._seen = b""
        self._said: object = BEST_MECHANISM

    def info(self) -> KeyStoreInfo:
        """`hardware` and `exportable` are known once a version was sealed or unsealed."""
        label = self._process.uri.key_label
        if not self._seen:
            return KeyStoreInfo(self._url, f"KEK {label}", hardware=False, exportable=False)
        seen = json.loads(self._seen)
        root = f"KEK {label} ({seen['mechanism']}) in token {seen['token']}, serial {seen['serial']}"
        hardware = not any(word in str(seen["model"]).lower() for word in _SOFTWARE_MODELS)
        return KeyStoreInfo(self._url, root, hardware=hardware, exportable=bool(seen["exportable"]))

    def seal(self, secret: SecretBytes, context: bytes) -> bytes:
        """Makes the KEK where the token has none and nothing is sealed under it yet."""
        sealed, self._seen = self._process.call("seal", secret.reveal(), context)
        mechanism = json.loads(self._seen)["mechanism"]
        if mechanism != self._said:
            self._said = mechanism
            log.warning("the token %s has no %s: %s seals", self._process.uri.token_name, BEST_MECHANISM, self._said)
        return sealed

    def unseal(self, sealed: bytes, context: bytes) -> SecretBytes:
        """Raises SealBroken, KeyStoreUnavailable."""
        secret, self._seen = self._process.call("unseal", sealed, context)
        return SecretBytes(secret)

    def random(self, count: int) -> bytes:
        """C_GenerateRandom of the token."""
        (made,) = self._process.call("random", str(count).encode())
        return made

    def close(self) -> None:
        """Ends the token's process, and with it the login."""
        self._process.close()


class TokenShelf(Shelf):
    """Private data objects of the token: masters that share an HSM share them. An entry is never replaced, only
    deleted: another master may have written it. Raises KeyStoreUnavailable."""

    def __init__(self, process: TokenProcess) -> None:
        self._process = process

    def __getitem__(self, name: str) -> bytes:
        for content in self._process.call("get", name.encode()):
            return content
        raise KeyError(name)

    def __setitem__(self, name: str, content: bytes) -> None:
        self._process.call("put", name.encode(), content)

    def __delitem__(self, name: str) -> None:
        if not self._process.call("delete", name.encode()):
            raise KeyError(name)

    def __iter__(self) -> abc.Iterator[str]:
        return iter([name.decode() for name in self._process.call("names")])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._process.call("get", name.encode()))
