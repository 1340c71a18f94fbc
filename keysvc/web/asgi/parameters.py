"""The parameters of the operations: in the path, in the query, or headers. Unknown ones are refused."""

from __future__ import annotations

import functools
from typing import Annotated

import msgspec
from msgspec import Meta

from keysvc.model import CHECK_VALUE_BYTES, VersionId, names
from keysvc.sso.requests.request import After, Limit

MAXIMUM_VERSION = 2**31 - 1
_LINE_END = "(?!\\n)$"  # Python's $ also matches before a line feed at the end

Version = Annotated[int, Meta(ge=1, le=MAXIMUM_VERSION, description="of the master secret", examples=[1])]
ETag = Annotated[
    str, Meta(pattern=f'^"[0-9]{{1,18}}"{_LINE_END}', description="the ETag as it was read", examples=['"7"'])
]
NoneThere = Annotated[str, Meta(pattern=f"^\\*{_LINE_END}", description="`*`: there must be none yet")]
Instance = Annotated[
    str, Meta(pattern=f"^[A-Za-z0-9]{{1,32}}{_LINE_END}", description="of the calling process", examples=["5ca1ab1e"])
]
_VERSION_ID = f"[0-9]{{1,10}}-[0-9a-f]{{{2 * CHECK_VALUE_BYTES}}}"
Holds = Annotated[
    str,
    Meta(
        pattern=f"^({_VERSION_ID}(,{_VERSION_ID}){{0,999}})?{_LINE_END}",
        description="versions, each with its key check value",
        examples=["3-0123456789abcdef,4-fedcba9876543210"],
    ),
]
CacheControl = Annotated[str, Meta(description="`no-cache`: not from the agent's memory (RFC 9111)")]
PollETag = Annotated[str, Meta(description="the ETag of the poll before")]


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all."""


class Page(Parameters, frozen=True):
    """Part of a list."""

    after: After = ""
    limit: Limit = 100


# -- of the master secret server -----------------------------------------------------------------------------------


SchemaVersion = Annotated[int, Meta(ge=1, le=2**31 - 1, description="the newest schema of a mapping store it knows")]


class Poll(Parameters, frozen=True):
    """Who polls, and what it holds."""

    instance: Instance
    holds: Holds = ""
    wait: Annotated[float, Meta(ge=0, le=3600, description="seconds to wait for a change, with If-None-Match")] = 0.0
    url: Annotated[str, Meta(max_length=1024, description="of a standby: where it answers")] = ""
    problem: Annotated[str, Meta(max_length=500, description="of a standby: what keeps it from taking over")] = ""
    if_none_match: PollETag | None = msgspec.field(default=None, name="If-None-Match")
    schema_version: SchemaVersion = msgspec.field(default=1, name="Keysvc-Schema")

    @property
    def versions_held(self) -> tuple[VersionId, ...]:
        """Ascending by number."""
        return _versions(self.holds)


@functools.lru_cache(maxsize=64)
def _versions(holds: str) -> tuple[VersionId, ...]:
    """Most hold the same."""
    return tuple(sorted(VersionId.parse(version) for version in holds.split(",") if version))


class OneVersion(Parameters, frozen=True):
    """A version of the master secret."""

    version: Version


class Rotation(Parameters, frozen=True):
    """What is under `compromised` is re-encrypted first, and that version destroyed."""

    compromised: Annotated[Version, Meta(description="a version that others know")] | None = None


class StepDown(Parameters, frozen=True):
    """Whether to step down although no standby is ready."""

    force: bool = False


class DestroyVersion(Parameters, frozen=True):
    """A version of the master secret, and whether to destroy it although no backup holds the active one."""

    version: Version
    force: bool = False


class RevokedIdentity(Parameters, frozen=True):
    """Whom to revoke. `force` revokes the only master secret server too."""

    name: Annotated[str, Meta(min_length=1, max_length=names.MAXIMUM_LENGTH, examples=["web-01"])]
    force: bool = False


class OneIdentity(Parameters, frozen=True):
    """Someone who was enrolled."""

    name: Annotated[str, Meta(min_length=1, max_length=names.MAXIMUM_LENGTH, examples=["web-01"])]
