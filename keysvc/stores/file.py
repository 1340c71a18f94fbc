"""The embedded key store, `file:`. Each version is a file, sealed under a root key that is in a separate key file, or
derived from a passphrase."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keysvc.errors import ConfigurationError
from keysvc.plugin.hookspecs import hookimpl
from keysvc.plugin.interfaces import KeyStore, Opening, Register
from keysvc.plugin.sealed import Directory, SealedKeyStore

if TYPE_CHECKING:
    from keysvc.plugin.sealed import Sealer


@hookimpl
def keysvc_key_stores(register: Register[KeyStore]) -> None:
    """Register `file:`."""
    register(
        "file",
        open_file,
        summary="files in a directory, sealed under a key file or a passphrase",
        options={
            "unlock": "key-file (the default) or passphrase",
            "passphrase-source": "file:/PATH, env:NAME or credential:NAME",
            "key-file": "the file of the root key; the directory's path with .key unless given",
        },
    )


def open_file(opening: Opening) -> KeyStore:
    """Raises ConfigurationError for a path that is not absolute."""
    from keysvc.stores.file_sealers import KeyFileSealer, PassphraseSealer

    location = opening.location
    path = location.local_path
    unlock = location.options.get("unlock", "key-file")
    if not path.is_absolute() or path == Path(path.anchor):
        raise ConfigurationError("file: needs an absolute path", hint="write file:///var/lib/keysvc/secret")
    if unlock not in ("key-file", "passphrase") or (unlock == "passphrase" and "key-file" in location.options):
        raise ConfigurationError("file: has unlock=key-file or unlock=passphrase, and key-file only with the former")
    shelf = Directory(path)
    sealer: Sealer
    if unlock == "passphrase":
        sealer = PassphraseSealer(str(location), opening.prompt, is_new=lambda: len(shelf) == 0)
    else:
        key_file = Path(location.options.get("key-file", f"{path}.key"))
        if not key_file.is_absolute():
            raise ConfigurationError("key-file needs an absolute path")
        sealer = KeyFileSealer(str(location), key_file, may_create=lambda: len(shelf) == 0)
    return SealedKeyStore(sealer, shelf, opening.system_id)
