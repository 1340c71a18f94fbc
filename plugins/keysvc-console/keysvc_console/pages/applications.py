"""Affiliate applications of every type: list, create, change, enable, delete, accounts and fields."""

from __future__ import annotations

import dataclasses
from collections import abc

from keysvc.errors import InvalidInput
from keysvc.model import Application, ApplicationType, Field, Flags
from keysvc.sso.permissions import Right
from keysvc.sso.requests import applications as requests
from keysvc_console.calls import Call, Equivalent, Go, Page, Place, lines
from keysvc_console.reach import Rights
from keysvc_console.rendering import shell, with_query

PAGE = 50
TYPES = {
    ApplicationType.INDIVIDUAL: ("Individual", "each user has a credential of its own"),
    ApplicationType.GROUP: ("Group", "everyone in a group shares one credential"),
    ApplicationType.HOST_GROUP: ("Host group", "many users of the host stand for one account"),
    ApplicationType.CONFIG_STORE: ("Config store", "named property bags for adapters"),
}
FLAGS = {
    "host_initiated": (
        "Lookups by external user",
        "Host-initiated SSO: by the user id that the application knows.",
    ),
    "windows_initiated": ("Lookups by user", "Windows-initiated SSO: the usual way."),
    "validate_password": ("Check the password of the external user", "Of lookups by external user."),
    "disable_credential_cache": ("Keep no credential in memory", "Every lookup asks the mapping store."),
    "allow_tickets": ("Tickets may be issued", ""),
    "validate_tickets": ("Tickets are validated", "Who redeems a ticket says from whom it came."),
    "timeout_tickets": ("Tickets time out", ""),
    "allow_local_accounts": ("Accounts of one machine may be mapped", ""),
    "direct_password_sync": ("Direct password synchronisation", "Kept for Enterprise SSO; keysvc does not do it."),
}
CREATION = "PUT /v1/application?application=SAP"
MAXIMUM_FIELDS = 20


def applications(call: Call) -> Page:
    """Those in which the caller has a role."""
    after, type_ = call.given("after"), call.given("type")
    found = call.reach.agent.applications(after=after, limit=PAGE)
    shown = [each for each in found if type_ in {"", each.type.value}]
    values = {
        "applications": shown,
        "types": TYPES,
        "asked": type_,
        "next": found[-1].name if len(found) == PAGE else None,
        "may_create": call.rights().may(Right.CREATE_APPLICATION),
    }
    equivalents = [
        Equivalent("This page", "keysvc app list", "GET /v1/applications?after=…&limit=50"),
        Equivalent("Create", "keysvc app create SAP --field Password", CREATION),
    ]
    return Page("applications.html", "Applications", values, equivalents)


def application(call: Call) -> Page:
    """One application, with the forms that the caller's rights in it allow."""
    name = call.required("name", "The name of the application")
    found = call.reach.agent.application(name)
    rights = call.rights(name)
    allowed = {right.value: rights.may(right) for right in Right}
    word = shell(name)
    values = {
        "application": found,
        "type": TYPES[found.type],
        "flags": FLAGS,
        "set": dataclasses.asdict(found.flags),
        "may": allowed,
        "own_here": rights,
    }
    query = "/v1/application?application=…"
    equivalents = [Equivalent("This page", f"keysvc app show {word}", f"GET {query}")]
    if allowed[Right.CHANGE_APPLICATION]:
        equivalents += [
            Equivalent("Enable, disable", f"keysvc app enable {word}", f"PATCH {query}"),
            Equivalent("Change", f"keysvc app set {word} --flag allowTickets=yes", f"PATCH {query}"),
        ]
    if allowed[Right.NAME_USERS]:
        equivalents.append(Equivalent("Accounts", f"keysvc app set {word} --user-account ACCOUNT", f"PATCH {query}"))
    if allowed[Right.DELETE_APPLICATION]:
        equivalents.append(Equivalent("Delete", f"keysvc app delete {word}", f"DELETE {query}"))
    return Page("application.html", name, values, equivalents)


def ask_new(call: Call) -> Page:
    """The form for a new one."""
    values = {"types": TYPES, "flags": FLAGS, "rows": range(1, 7), "tickets": call.rights().may(Right.SET_TICKETS)}
    command = "keysvc app create SAP --type individual --field Password --enable"
    return Page(
        "application_new.html",
        "New application",
        values,
        [Equivalent("Create", command, CREATION)],
    )


def create(call: Call) -> Go:
    """The first field is the external user id."""
    name = call.required("name", "The name")
    labels = [(call.given(f"field-{n}").strip(), call.given(f"masked-{n}") == "yes") for n in range(MAXIMUM_FIELDS)]
    fields = [Field(call.given("id-label").strip() or "User Id", masked=False)]
    fields += [Field(label, masked) for label, masked in labels if label]
    flags = {name: call.given(f"flag-{name}") == "yes" for name in FLAGS if call.given(f"had-{name}")}
    flags["enabled"] = call.given("flag-enabled") == "yes"
    call.reach.agent.perform(
        requests.CreateApplication(
            name,
            tuple(fields),
            ApplicationType(call.given("type") or ApplicationType.INDIVIDUAL),
            dataclasses.replace(Flags(), **flags),
            call.given("description"),
            call.given("contact"),
            lines(call.given("users")),
            lines(call.given("administrators")),
        )
    )
    call.reach.forget_rights()
    call.session.note(f"{name} is created.")
    return _to(name)


def change(call: Call) -> Go:
    """The part of the form says what is changed: one right at a time."""
    name, part = call.required("name", "The name"), call.given("part")
    agent = call.reach.agent.administration
    match part:
        case "enable" | "disable":
            agent.enable_application(name, part == "enable")
            said = f"{name} is {part}d."
        case "description":
            agent.change_application(name, description=call.given("description"), contact=call.given("contact"))
            said = "The description is changed."
        case "flags":
            flags = {flag: call.given(f"flag-{flag}") == "yes" for flag in FLAGS if call.given(f"had-{flag}")}
            agent.change_application(name, flags=_changed(call.reach.agent.application(name), flags))
            said = "The flags are changed."
        case "tickets":
            minutes = call.number("minutes", "The time-out")
            agent.change_application(name, ticket_timeout_minutes=minutes or 0)
            said = (
                f"Tickets are good for {minutes} minutes." if minutes else "The system says how long tickets are good."
            )
        case "users":
            agent.change_application(name, user_accounts=lines(call.given("users")))
            said = "The accounts of its users are changed."
        case "administrators":
            agent.change_application(name, administrator_accounts=lines(call.given("administrators")))
            said = "The accounts of its administrators are changed."
        case _:
            raise InvalidInput("the form was changed on its way", hint="open the page of the application again")
    call.reach.forget_rights()
    call.session.note(said)
    return _to(name)


def _changed(known: Application, flags: abc.Mapping[str, bool]) -> dict[str, bool]:
    """Only what differs: who may not change a flag of tickets may still change the others."""
    return {flag: value for flag, value in flags.items() if getattr(known.flags, flag) != value}


def delete(call: Call) -> Go:
    """With all mappings and credentials, after its name was typed."""
    name = call.required("name", "The name")
    if call.given("typed") != name:
        raise InvalidInput(f"the confirmation is not “{name}”", hint="type the name exactly; nothing was changed")
    call.reach.agent.administration.delete_application(name)
    call.reach.forget_rights()
    call.session.note(f"{name} is deleted with all its mappings and credentials.")
    return Go("/applications")


def purge(call: Call) -> Go:
    """Make the agent forget what it keeps in memory."""
    name = call.required("name", "The name")
    purged = call.reach.agent.purge_cache(name)
    call.session.note(f"The agent forgot {purged} credentials of {name}: the next lookups ask the mapping store.")
    return _to(name)


def _to(name: str) -> Go:
    return Go(with_query("/application", name=name))


def has_applications(rights: Rights) -> bool:
    """Whether to offer the page: to everyone whom an agent answers."""
    return rights.problem is None


PLACES = (Place("/applications", "Applications", "Single sign-on", has_applications),)
ROUTES = (
    ("/applications", applications, False),
    ("/application", application, False),
    ("/applications/new", ask_new, False),
    ("/applications/new", create, True),
    ("/application/change", change, True),
    ("/application/delete", delete, True),
    ("/application/purge", purge, True),
)
