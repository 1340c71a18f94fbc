"""The key store whose root nobody holds, `shares:`. Each version is a file, sealed to a public key (HPKE); the private
key exists only as SLIP-39 shares on paper. So new versions are sealed with nobody there, and opened by their holders
alone."""

from __future__ import annotations

from pathlib import Path

from keysvc.errors import ConfigurationError, SealBroken, VersionAlreadySealed
from keysvc.model import MasterSecret
from keysvc.plugin.hookspecs import hookimpl
from keysvc.plugin.interfaces import KeyStore, Opening, Register
from keysvc.plugin.sealed import Directory, SealedKeyStore, entry_name


@hookimpl
def keysvc_key_stores(register: Register[KeyStore]) -> None:
    """Register `shares:`."""
    register(
        "shares",
        open_shares,
        summary="files in a directory that only SLIP-39 shares open; to recover from",
        options={"public-key": "X25519 in URL-safe base64, as `keysvc secret shares` prints it; needed to seal"},
    )


def open_shares(opening: Opening) -> KeyStore:
    """Raises ConfigurationError for a path that is not absolute or a public key that is none."""
    from keysvc.stores.shares_sealer import SharesSealer, decoded

    location = opening.location
    path = Path(location.path)
    if not path.is_absolute() or path == Path("/"):
        raise ConfigurationError("shares: needs an absolute path", hint="keysvc secret shares prints the URL")
    public = location.options.get("public-key")
    sealer = SharesSealer(str(location), decoded(public) if public is not None else None, opening.prompt)
    return SharesKeyStore(sealer, Directory(path), opening.system_id)


class SharesKeyStore(SealedKeyStore):
    """Seals without its root, so it reads back the bytes that it wrote, not the secret."""

    def seal(self, secret: MasterSecret) -> None:
        """Durable on return, and its bytes read back."""
        with self._lock:
            name, header = entry_name(secret.version), self._header(secret)
            if name in self._shelf:
                found = self._shelf[name].partition(b"\n")[0]
                self._check_header(name, found, secret.version)
                if found != header:
                    raise VersionAlreadySealed(f"{self._where(name)} already holds another secret")
                return
            entry = header + b"\n" + self._sealer.seal(secret.material, header)
            self._shelf[name] = entry
            if self._shelf[name] != entry:
                raise SealBroken(
                    f"{self._where(name)} reads back as something else than was written", hint=SealBroken.NOT_KEPT
                )
