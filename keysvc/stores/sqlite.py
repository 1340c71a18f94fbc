"""The mapping store for one machine: an SQLite file. The plugin `sqlite`.

    sqlite:////var/lib/keysvc/mappings.db      an absolute path
    sqlite:///mappings.db?timeout=20           a relative one; wait up to 20 seconds for another writer
    sqlite://                                  in memory, for tests

The class lives in `keysvc.stores.sqlite_store`, which imports SQLAlchemy: only opening a store pays for that.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from keysvc.errors import ConfigurationError
from keysvc.plugin.hookspecs import hookimpl
from keysvc.plugin.interfaces import MappingStore, Opening, Register

if TYPE_CHECKING:
    from keysvc.stores.sqlite_store import SQLiteMappingStore

__all__ = ["DEFAULT_TIMEOUT_SECONDS", "SQLiteMappingStore", "keysvc_mapping_stores", "open_sqlite"]

DEFAULT_TIMEOUT_SECONDS = 10.0


@hookimpl
def keysvc_mapping_stores(register: Register[MappingStore]) -> None:
    """Register `sqlite:`."""
    register(
        "sqlite",
        open_sqlite,
        summary="an SQLite file on this machine",
        options={"timeout": "seconds to wait while another process writes; 10"},
    )


def open_sqlite(opening: Opening) -> MappingStore:
    """Open the store that a `sqlite:` URL names. Touches no file. Raises ConfigurationError."""
    from keysvc.stores.sqlite_store import SQLiteMappingStore

    location = opening.location
    parts = urlsplit(location.reveal())
    if parts.netloc or parts.fragment or not location.reveal()[len(location.scheme) :].startswith("://"):
        raise ConfigurationError("a sqlite: URL has no host and no #", hint="write sqlite:////absolute/path.db")
    try:
        timeout = float(location.options.get("timeout", DEFAULT_TIMEOUT_SECONDS))
    except ValueError:
        timeout = -1
    if not 0 <= timeout <= 3600:
        raise ConfigurationError("sqlite: timeout is not a number of seconds", hint="write ?timeout=10")
    path = location.path.removeprefix("/")
    return SQLiteMappingStore(Path(path) if path not in {"", ":memory:"} else None, timeout=timeout)


def __getattr__(name: str) -> object:
    if name == "SQLiteMappingStore":
        from keysvc.stores.sqlite_store import SQLiteMappingStore

        return SQLiteMappingStore
    raise AttributeError(name)
