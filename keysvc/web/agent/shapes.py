"""How the fields and the answers travel that do not go as they are."""

from __future__ import annotations

import dataclasses
from collections import abc
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from keysvc.errors import InvalidInput
from keysvc.model import Application, Field, Flags, Mapping, SecretText
from keysvc.sso.credentials import Credential
from keysvc.sso.requests.applications import NO_FLAGS
from keysvc.sso.requests.reveals import RevealedField
from keysvc.sso.tickets import Ticket
from keysvc.web.agent.wire import Coding, Member, Shape
from keysvc.web.asgi import messages, parameters

# -- fields that do not travel as they are -------------------------------------------------------------------------

FRESH = Coding(
    (Member("Cache-Control", parameters.CacheControl, ""),),
    lambda cache_control: "no-cache" in cache_control.casefold(),
    lambda fresh: ("no-cache" if fresh else "",),
)


def _expected_revision(if_match: str | None, if_none_match: str | None) -> int | None:
    if if_match is not None and if_none_match is not None:
        raise InvalidInput("If-Match and If-None-Match exclude each other")
    if if_none_match is not None:
        return 0
    return None if if_match is None else int(if_match.strip('"'))


EXPECTED_REVISION = Coding(
    (
        Member("If-Match", parameters.ETag | None, None),
        Member("If-None-Match", parameters.NoneThere | None, None),
    ),
    _expected_revision,
    lambda revision: (None, None) if revision is None else (f'"{revision}"', None) if revision else (None, "*"),
)


def strict(kind: type[Any], name: str) -> type[msgspec.Struct]:
    """Return a dataclass of the model as a body: there, unknown members are refused."""
    kinds = get_type_hints(kind)
    fields = [(each.name, kinds[each.name], _default(each)) for each in dataclasses.fields(kind)]
    return msgspec.defstruct(
        name, fields, namespace={"__doc__": kind.__doc__}, frozen=True, forbid_unknown_fields=True, kw_only=True
    )


def _default(field: dataclasses.Field[Any]) -> Any:
    return msgspec.field() if field.default is dataclasses.MISSING else msgspec.field(default=field.default)


NewField, NewFlags = strict(Field, "NewField"), strict(Flags, "NewFlags")
FIELDS = Coding(
    (Member("fields", Annotated[tuple[NewField, ...], Meta(min_length=1, max_length=100)]),),  # type: ignore[valid-type]
    lambda fields: tuple(Field(**msgspec.structs.asdict(each)) for each in fields),
    lambda fields: (tuple(NewField(**dataclasses.asdict(each)) for each in fields),),
)
FLAGS = Coding(
    (Member("flags", NewFlags | None, None),),
    lambda flags: NO_FLAGS if flags is None else Flags(**msgspec.structs.asdict(flags)),
    lambda flags: (NewFlags(**dataclasses.asdict(flags)),),
)

# -- answers -------------------------------------------------------------------------------------------------------


def _credential_body(found: Credential, _request: object) -> messages.CredentialBody:
    """In plain: for whoever has the right."""
    fields = {label: value.reveal() for label, value in found.fields.items()}
    masked = tuple(sorted(found.masked))
    return messages.CredentialBody(
        found.application, found.user, found.external_user, fields, masked, found.version, found.revision
    )


def _credential(sent: messages.CredentialBody) -> Credential:
    fields = {label: SecretText(value) for label, value in sent.fields.items()}
    return Credential(
        sent.application, sent.user, sent.external_user, fields, frozenset(sent.masked), sent.version, sent.revision
    )


def _next(found: abc.Sequence[Any], request: Any, key: str) -> str | None:
    return getattr(found[-1], key) if len(found) == request.limit else None


NOTHING: Shape[None] = Shape(None)
CREDENTIAL = Shape(messages.CredentialBody, _credential_body, _credential)
VERSION: Shape[int] = Shape(
    messages.SetCredentialAnswer, lambda version, _: messages.SetCredentialAnswer(version), lambda sent: sent.version
)
PURGED: Shape[int] = Shape(
    messages.PurgeAnswer, lambda purged, _: messages.PurgeAnswer(purged), lambda sent: sent.purged
)
CHANGED: Shape[int] = Shape(messages.Changed, lambda changed, _: messages.Changed(changed), lambda sent: sent.changed)
TICKET: Shape[Ticket] = Shape(
    messages.TicketAnswer,
    lambda made, _: messages.TicketAnswer(made.text.reveal(), made.user, made.expires_at),
    lambda sent: Ticket(SecretText(sent.ticket), sent.user, sent.expires_at),
)
PROPERTIES: Shape[abc.Mapping[str, SecretText]] = Shape(
    messages.ConfigInfo,
    lambda found, _: messages.ConfigInfo({label: value.reveal() for label, value in found.items()}),
    lambda sent: {label: SecretText(value) for label, value in sent.properties.items()},
)
REVEALED: Shape[RevealedField] = Shape(
    messages.RevealedBody,
    lambda found, _: messages.RevealedBody(found.label, found.value.reveal()),
    lambda sent: RevealedField(sent.label, SecretText(sent.value)),
)
APPLICATIONS: Shape[abc.Sequence[Application]] = Shape(
    messages.ApplicationPage,
    lambda found, request: messages.ApplicationPage(tuple(found), _next(found, request, "name")),
    lambda sent: sent.items,
)
MAPPINGS: Shape[abc.Sequence[Mapping]] = Shape(
    messages.MappingPage,
    lambda found, request: messages.MappingPage(tuple(found), _next(found, request, "user")),
    lambda sent: sent.items,
)
APPLICATION: Shape[Application] = Shape(Application)
MAPPING: Shape[Mapping] = Shape(Mapping)
