"""A user's own page: each application with what the user is there; set, clear, test."""

from __future__ import annotations

from dataclasses import dataclass

from keysvc.errors import KeysvcError, NotFound
from keysvc.model import Application, ApplicationType, Mapping
from keysvc.sso.permissions import Right
from keysvc.sso.requests.reveals import CredentialState, GetCredentialState
from keysvc_console.calls import Call, Equivalent, Page, Place

MOST = 100


@dataclass(frozen=True, slots=True)
class Own:
    """An application, with the caller's mapping and credential in it."""

    application: Application
    mapping: Mapping | None
    state: CredentialState | None
    may_map: bool
    may_set: bool
    problem: str = ""


def mine(call: Call) -> Page:
    """Every application in which the caller may have a credential."""
    agent, name = call.reach.agent, call.reach.name
    of_users = (ApplicationType.INDIVIDUAL, ApplicationType.GROUP)
    found = [each for each in agent.applications(limit=MOST) if each.type in of_users]
    owned = [_own(call, application, name) for application in found]
    administers = call.rights().may_own(Right.SEE_MAPPINGS)
    values = {
        "owned": [each for each in owned if each.mapping is not None or not administers],
        "name": name,
    }
    equivalents = [
        Equivalent("This page", "", "GET /v1/applications, GET /v1/mapping, GET /v1/credential/state"),
        Equivalent("Set a credential", f"keysvc credential set APP {name}", "PUT /v1/credential?application=…&user=…"),
        Equivalent("Clear it", "", "DELETE /v1/credential?application=…&user=…"),
        Equivalent("Test it", f"keysvc credential get APP {name}", "GET /v1/credential?application=…&user=…"),
    ]
    return Page("mine.html", "My credentials", values, equivalents)


def _own(call: Call, application: Application, name: str) -> Own:
    rights = call.rights(application.name)
    try:
        mapping = call.reach.agent.administration.mapping(application.name, name)
        state = call.reach.agent.perform(GetCredentialState(application.name, name))
    except NotFound:
        mapping, state = None, None
    except KeysvcError as error:
        return Own(application, None, None, False, False, str(error))
    individual = application.type is ApplicationType.INDIVIDUAL
    may_map = individual and rights.may_own(Right.CHANGE_MAPPINGS)
    return Own(application, mapping, state, may_map, individual and rights.may_own(Right.CHANGE_CREDENTIALS))


PLACES = (Place("/mine", "My credentials", "Single sign-on", lambda rights: rights.problem is None),)
ROUTES = (("/mine", mine, False),)
