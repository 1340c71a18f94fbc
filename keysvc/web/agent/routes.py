"""The table of an agent: for each request of the domain, where it is sent and how it and its answer travel."""

from __future__ import annotations

from collections import abc
from types import MappingProxyType
from typing import Any

from keysvc.errors import CannotDecrypt, Changed, Conflict, MasterSecretServerUnavailable, NotFound, RateLimited
from keysvc.sso.permissions import CallerRights
from keysvc.sso.requests import applications, config_store, credentials, mappings, system, tickets
from keysvc.sso.requests.request import Request
from keysvc.sso.status import ServerState
from keysvc.web.agent.shapes import (
    APPLICATION,
    APPLICATIONS,
    CHANGED,
    CREDENTIAL,
    EXPECTED_REVISION,
    FIELDS,
    FLAGS,
    FRESH,
    MAPPING,
    MAPPINGS,
    NOTHING,
    PROPERTIES,
    PURGED,
    TICKET,
    VERSION,
)
from keysvc.web.agent.wire import Route, Shape, Wire

ONE = ("application", "user")
BAG = ("application", "name")
NEEDS_MASTER = (CannotDecrypt, MasterSecretServerUnavailable)
OWN = (NotFound, Conflict, RateLimited)

ROUTES: tuple[Route[Any], ...] = (
    Route(
        method="GET",
        path="/v1/credential",
        request=credentials.LookUpCredential,
        summary="Look a credential up by user",
        query=ONE,
        codings={"fresh": FRESH},
        shape=CREDENTIAL,
        etag=(
            lambda found: f'"{found.revision}"',
            "changes with the credential, and with its re-encryption; for If-Match",
        ),
        errors=(NotFound, *NEEDS_MASTER),
    ),
    Route(
        method="POST",
        path="/v1/credential/lookup",
        request=credentials.LookUpByExternalUser,
        summary="Look a credential up by external user, for a host; changes nothing",
        shape=CREDENTIAL,
        errors=(NotFound, Conflict, *NEEDS_MASTER),
    ),
    Route(
        method="PUT",
        path="/v1/credential",
        request=credentials.SetCredential,
        summary="Encrypt and store a credential, in place of all its fields; may be repeated",
        query=ONE,
        codings={"expected_revision": EXPECTED_REVISION},
        shape=VERSION,
        errors=(NotFound, Conflict, Changed, RateLimited, MasterSecretServerUnavailable),
    ),
    Route(
        method="DELETE",
        path="/v1/credential",
        request=credentials.DeleteCredential,
        summary="Delete a credential; the mapping stays",
        query=ONE,
        shape=NOTHING,
        errors=(NotFound, RateLimited),
    ),
    Route(
        method="DELETE",
        path="/v1/cache",
        request=credentials.PurgeCache,
        summary="Forget the credentials of an application, or all, that are kept in memory",
        query=("application",),
        shape=PURGED,
    ),
    Route(
        method="POST",
        path="/v1/tickets",
        request=tickets.IssueTicket,
        summary="Issue a ticket for a user, or for the caller; one that nobody redeems ends by itself",
        shape=TICKET,
        errors=NEEDS_MASTER,
    ),
    Route(
        method="POST",
        path="/v1/tickets/redemption",
        request=tickets.RedeemTicket,
        summary="Trade a ticket, once, for its user's credential",
        shape=CREDENTIAL,
        errors=(NotFound, *NEEDS_MASTER),
    ),
    Route(
        method="GET",
        path="/v1/config-info",
        request=config_store.GetConfigInfo,
        summary="The properties of a bag of the config store",
        query=BAG,
        codings={"fresh": FRESH},
        shape=PROPERTIES,
        errors=(NotFound, *NEEDS_MASTER),
    ),
    Route(
        method="PUT",
        path="/v1/config-info",
        request=config_store.SetConfigInfo,
        summary="Encrypt and store a property bag, in place of all its properties; may be repeated",
        query=BAG,
        shape=VERSION,
        errors=(NotFound, Conflict, MasterSecretServerUnavailable),
    ),
    Route(
        method="DELETE",
        path="/v1/config-info",
        request=config_store.DeleteConfigInfo,
        summary="Delete a property bag",
        query=BAG,
        shape=NOTHING,
        errors=(NotFound,),
    ),
    Route(
        method="GET",
        path="/v1/application",
        request=applications.GetApplication,
        summary="An affiliate application",
        query=("application",),
        shape=APPLICATION,
        errors=(NotFound,),
    ),
    Route(
        method="GET",
        path="/v1/applications",
        request=applications.ListApplications,
        summary="The affiliate applications that the caller has a role in, in pages by name",
        query=("after", "limit"),
        shape=APPLICATIONS,
    ),
    Route(
        method="GET",
        path="/v1/mappings",
        request=mappings.ListMappings,
        summary="The mappings of an application, or of them the caller's own, in pages by user",
        query=("application", "after", "limit"),
        shape=MAPPINGS,
        errors=(NotFound,),
    ),
    Route(
        method="GET",
        path="/v1/status",
        request=system.GetStatus,
        summary="What this SSO server knows",
        shape=Shape(ServerState),
    ),
    Route(
        method="GET",
        path="/v1/rights",
        request=system.GetRights,
        summary="What the caller may do in the system, or in an application",
        query=("application",),
        shape=Shape(CallerRights),
    ),
    Route(
        method="PUT",
        path="/v1/application",
        request=applications.CreateApplication,
        summary="Create an affiliate application; may be repeated",
        query=("application",),
        codings={"fields": FIELDS, "flags": FLAGS},
        shape=APPLICATION,
        errors=(Conflict,),
    ),
    Route(
        method="PATCH",
        path="/v1/application",
        request=applications.ChangeApplication,
        summary="Enable, disable, describe an application, change its flags and accounts; what is absent stays",
        query=("application",),
        shape=APPLICATION,
        errors=(NotFound, Conflict),
    ),
    Route(
        method="DELETE",
        path="/v1/application",
        request=applications.DeleteApplication,
        summary="Delete an application with all its mappings and credentials",
        query=("application",),
        shape=NOTHING,
        errors=(NotFound, Conflict),
    ),
    Route(
        method="GET",
        path="/v1/mapping",
        request=mappings.GetMapping,
        summary="A mapping",
        query=ONE,
        shape=MAPPING,
        errors=(NotFound,),
    ),
    Route(
        method="PUT",
        path="/v1/mapping",
        request=mappings.SetMapping,
        summary="Map a user to an external user; a new mapping starts disabled unless told; may be repeated",
        query=ONE,
        shape=MAPPING,
        errors=OWN,
    ),
    Route(
        method="PATCH",
        path="/v1/mapping",
        request=mappings.EnableMapping,
        summary="Enable or disable a mapping",
        query=ONE,
        shape=MAPPING,
        errors=OWN,
    ),
    Route(
        method="PATCH",
        path="/v1/mappings",
        request=mappings.EnableAllMappings,
        summary="Enable or disable every mapping of an application",
        query=("application",),
        shape=CHANGED,
        errors=OWN,
    ),
    Route(
        method="DELETE",
        path="/v1/mapping",
        request=mappings.DeleteMapping,
        summary="Delete a mapping with its credential",
        query=ONE,
        shape=NOTHING,
        errors=OWN,
    ),
)
WIRES: abc.Mapping[type[Request[Any]], Wire[Any]] = MappingProxyType({route.request: Wire(route) for route in ROUTES})
"""By the type of the request."""
