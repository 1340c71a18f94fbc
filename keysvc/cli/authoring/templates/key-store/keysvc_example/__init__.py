"""A key store: `example:///DIRECTORY?key-source=file:/PATH`. The plugin `example`."""

from __future__ import annotations

from pathlib import Path

from keysvc.plugin import ConfigurationError, Directory, KeyStore, Opening, Register, SealedKeyStore, hookimpl

KEYSVC_API = 2


@hookimpl
def keysvc_key_stores(register: Register[KeyStore]) -> None:
    """Register `example:`."""
    register(
        "example",
        open_example,
        summary="files in a directory, sealed under a key that is kept elsewhere",
        options={"key-source": "file:/PATH or env:NAME of the key: 32 bytes in base64"},
    )


def open_example(opening: Opening) -> KeyStore:
    """Raises ConfigurationError for a path that is not absolute, or a key that is none."""
    from keysvc_example.sealer import ExampleSealer

    directory = Path(opening.location.path)
    if not directory.is_absolute():
        raise ConfigurationError(
            "example: needs an absolute path",
            hint="write example:///var/lib/keysvc/secret",
        )
    sealer = ExampleSealer(str(opening.location), opening.prompt("key"))
    return SealedKeyStore(sealer, Directory(directory), opening.system_id)
