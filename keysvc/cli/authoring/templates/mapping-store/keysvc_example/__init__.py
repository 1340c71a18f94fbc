"""A mapping store: `example:////ABSOLUTE/FILE`. The plugin `example`."""

from __future__ import annotations

from pathlib import Path

from keysvc.plugin import ConfigurationError, MappingStore, Opening, Register, hookimpl

KEYSVC_API = 2


@hookimpl
def keysvc_mapping_stores(register: Register[MappingStore]) -> None:
    """Register `example:`."""
    register(
        "example",
        open_example,
        summary="a file of SQLite in WAL mode",
        options={},
    )


def open_example(opening: Opening) -> MappingStore:
    """Touches no file. Raises ConfigurationError for a path that is not absolute."""
    from keysvc_example.store import ExampleMappingStore

    path = Path(opening.location.path)
    if not path.is_absolute():
        raise ConfigurationError(
            "example: needs an absolute path",
            hint="write example:///var/lib/keysvc/mappings.db",
        )
    return ExampleMappingStore(path)
