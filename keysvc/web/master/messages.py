"""The bodies of what SSO administrators ask besides versions and certificates."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from keysvc.model import names
from keysvc.web.asgi.messages import Body

Name = Annotated[str, Meta(max_length=names.MAXIMUM_LENGTH)]


class PluginEntry(Body, frozen=True):
    """An installed plugin. `problem` is empty when it works; `hint` says what to do."""

    name: str
    distribution: str
    version: str
    kinds: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""


class FindingEntry(Body, frozen=True):
    """One thing that the doctor looked at, and what to do when it is not well."""

    what: str
    ok: bool
    hint: str = ""


class PluginPage(Body, frozen=True):
    """All plugins of the machine of the master secret server."""

    items: tuple[PluginEntry, ...]


class FindingPage(Body, frozen=True):
    """All that the doctor looked at."""

    items: tuple[FindingEntry, ...]


class RetryRequest(Body, frozen=True):
    """Which parked events to offer again; empty does not matter."""

    event_id: Name = ""
    notifier: Annotated[str, Meta(max_length=1024)] = ""


class Retried(Body, frozen=True):
    """How many events are offered again."""

    events: int


class SystemSwitch(Body, frozen=True):
    """Whether the system is to look up and to change anything."""

    enabled: bool


class TrailProof(Body, frozen=True):
    """What became of a trail of the audit. `entries` were read, the last `unsealed` of them not authenticated yet; no
    problems: every entry is as it was written, and none is missing."""

    trail: str
    entries: int
    unsealed: int
    problems: tuple[str, ...]


class AuditProof(Body, frozen=True):
    """Of each trail."""

    trails: tuple[TrailProof, ...]


class ImportSource(Body, frozen=True):
    """A file of Enterprise SSO. With `deletes`, its mappings are to go."""

    name: Name
    content: bytes
    deletes: bool = False


class ImportRequest(Body, frozen=True):
    """Files to import, all of them or none. `enable` enables new mappings; a `dry_run` changes nothing."""

    files: Annotated[tuple[ImportSource, ...], Meta(min_length=1, max_length=100)]
    enable: bool = False
    dry_run: bool = True


class ImportedEntry(Body, frozen=True):
    """What a file held, and what became of its entries."""

    name: str
    holds: str
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0


class DifferenceEntry(Body, frozen=True):
    """One value that an import would change. `before` is empty for what is new, `after` for what goes."""

    what: str
    subject: str
    field: str
    before: str
    after: str


class ImportAnswer(Body, frozen=True):
    """What became of each file. A dry run says what would be changed: at most 2,000 values, and how many `more`."""

    files: tuple[ImportedEntry, ...]
    dry_run: bool
    differences: tuple[DifferenceEntry, ...] = ()
    more: int = 0
