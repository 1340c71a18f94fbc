"""The settings of the system, and who administers it."""

from __future__ import annotations

from keysvc.errors import InvalidInput
from keysvc.model import accounts_in
from keysvc.sso.permissions import Right
from keysvc.sso.requests.settings import ChangeSettings, GetSettings
from keysvc.sso.requests.system import NameSystemAdministrators, SetAuditLevels
from keysvc_console.calls import Call, Equivalent, Go, Page, Place, lines

NUMBERS = {
    "ticket_timeout_minutes": ("Tickets are good for, in minutes", "Where the application says nothing else."),
    "credential_cache_minutes": ("Credentials stay in memory for, in minutes", "While the mapping store is away."),
    "audit_changes": ("Entries of the trail changes", "0 is no bound, here and below."),
    "audit_members": ("Entries of the trail members", ""),
    "audit_credential_lookups": ("Entries of the trail lookups", ""),
    "audit_deleted_applications": ("Entries of the trail deleted-applications", ""),
    "audit_deleted_mappings": ("Entries of the trail deleted-mappings", ""),
}
POSITIVE = ("none", "by external user or ticket", "all that asked the mapping store", "also those from memory")
NEGATIVE = ("none", "refused", "also what is not there", "any")


def settings(call: Call) -> Page:
    """All of them, each group with a form of its own."""
    found = call.reach.agent.perform(GetSettings())
    values = {
        "settings": found,
        "numbers": [(name, label, hint, getattr(found, name)) for name, (label, hint) in NUMBERS.items()],
        "positive": [(str(n), f"{n}: {says}") for n, says in enumerate(POSITIVE)],
        "negative": [(str(n), f"{n}: {says}") for n, says in enumerate(NEGATIVE)],
        "administrators": "\n".join(accounts_in(found.administrators)),
        "affiliate": "\n".join(accounts_in(found.affiliate_administrators)),
        "administers": call.rights().administers,
    }
    equivalents = [
        Equivalent("This page", "keysvc system show", "GET /v1/settings (agent)"),
        Equivalent("Change", "keysvc app import global-info.xml", "PATCH /v1/settings"),
        Equivalent("Audit levels", "keysvc audit level --positive 2 --negative 2", "PATCH /v1/settings/audit-levels"),
        Equivalent(
            "Administrators", "keysvc role set affiliate-administrator ACCOUNT", "PATCH /v1/settings/administrators"
        ),
        Equivalent("Switch off, on", "keysvc system disable", "PATCH /v1/system (master secret server)"),
    ]
    return Page("settings.html", "Settings", values, equivalents)


def change(call: Call) -> Go:
    """The part of the form says which."""
    agent = call.reach.agent
    match call.given("part"):
        case "numbers":
            agent.perform(ChangeSettings(**{name: call.number(name, label) for name, (label, _) in NUMBERS.items()}))
        case "levels":
            agent.perform(SetAuditLevels(call.number("positive", "A level"), call.number("negative", "A level")))
        case "administrators":
            named = [lines(call.given(of)) for of in ("administrators", "affiliate")]
            agent.perform(NameSystemAdministrators(*named))
            call.reach.forget_rights()
        case _:
            raise InvalidInput("the form was changed on its way", hint="open the page again")
    call.session.note("The settings are changed. SSO servers notice within one poll interval.")
    return Go("/settings")


def switch(call: Call) -> Go:
    """Refuse every lookup and change, after that was typed; or let them go on."""
    enabled = call.given("what") == "enable"
    if not enabled and call.given("typed").strip() != "disable":
        raise InvalidInput("the confirmation is not “disable”", hint="type it exactly; nothing was changed")
    call.reach.master.switch_system(enabled=enabled)
    call.session.note("The system is enabled." if enabled else "The system is disabled.")
    return Go("/settings")


PLACES = (Place("/settings", "Settings", "System", lambda rights: rights.may(Right.CHANGE_SETTINGS)),)
ROUTES = (
    ("/settings", settings, False),
    ("/settings/change", change, True),
    ("/settings/switch", switch, True),
)
