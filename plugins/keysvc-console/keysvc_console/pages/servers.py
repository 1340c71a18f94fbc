"""Who is let in: SSO servers, applications, people and master secret servers; and the join tokens for more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keysvc.errors import InvalidInput
from keysvc.model import Role, utc_now
from keysvc_console.calls import Call, Equivalent, Go, Page, Place
from keysvc_console.pages.overview import SOON
from keysvc_console.rendering import shell

if TYPE_CHECKING:
    from keysvc.web.asgi.messages import IdentityEntry

ROLES = {
    "server": "An SSO server: an agent, or an application with keysvc in it",
    "application": "An application that asks an agent",
    "user": "A person, with mappings and credentials of its own",
    "administrator": "A person who is an SSO administrator",
    "master": "A master secret server: a standby, until it is needed",
}
COMMANDS = {"user": "keysvc user enroll NAME", "administrator": "keysvc user enroll NAME --administrator"}


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A certificate, with what its owner was seen to do."""

    entry: IdentityEntry
    tone: str
    says: str
    seen: datetime | None
    version: int | None


def servers(call: Call) -> Page:
    """Everyone who was enrolled."""
    master = call.reach.master
    status = master.status()
    seen = {each.name: each for each in status.servers} | {each.name: each for each in status.standbys}
    enrolled = [_enrolled(entry, seen.get(entry.name)) for entry in master.identities()]
    asked = call.given("role")
    shown = [each for each in enrolled if asked in {"", each.entry.role}]
    values = {
        "enrolled": shown,
        "tokens": master.tokens(),
        "roles": ROLES,
        "asked": asked,
        "status": status,
    }
    equivalents = [
        Equivalent("This page", "keysvc server list", "GET /v1/identities, GET /v1/enrolments, GET /v1/status"),
        Equivalent("Enrol", "keysvc server enroll web-01", 'POST /v1/enrolments {"name": "web-01", "role": "server"}'),
        Equivalent("Revoke", "keysvc server revoke web-01", "DELETE /v1/identities/web-01"),
        Equivalent("Cancel join tokens", "keysvc server cancel web-01", "DELETE /v1/enrolments/web-01"),
    ]
    return Page("servers.html", "Servers and certificates", values, equivalents)


def _enrolled(entry: IdentityEntry, seen: object) -> Enrolled:
    now = utc_now()
    at = getattr(seen, "last_seen_at", None)
    version = getattr(seen, "version", None)
    if entry.revoked_at is not None:
        return Enrolled(entry, "off", "revoked", at, version)
    if entry.expires_at is not None and entry.expires_at < now:
        return Enrolled(entry, "bad", "expired", at, version)
    if entry.expires_at is not None and entry.expires_at < now + SOON:
        return Enrolled(entry, "warn", "expires soon", at, version)
    if getattr(seen, "can_encrypt", True) is False or getattr(seen, "ready", True) is False:
        return Enrolled(entry, "warn", "cannot encrypt" if entry.role == Role.SERVER else "not ready", at, version)
    return Enrolled(entry, "good", "in force", at, version)


def enrol(call: Call) -> Page:
    """Make a join token, and show it: in this answer alone."""
    name, role = call.required("name", "The name"), call.given("role")
    if role not in ROLES:
        raise InvalidInput("choose a role", hint="go back and choose one")
    token = call.reach.master.enroll(name, role)
    url = call.reach.master.status().master_url or "URL"
    values = {"name": name, "role": role, "token": token, "join": f"keysvc join {url} --token-file - --dir DIR"}
    command = COMMANDS.get(role, f"keysvc server enroll NAME --role {role}").replace("NAME", shell(name))
    equivalents = [Equivalent("Enrol", command, f'POST /v1/enrolments {{"name": …, "role": "{role}"}}')]
    return Page("token.html", f"Join token for {name}", values, equivalents)


def revoke(call: Call) -> Go:
    """Revoke a certificate, after its name was typed."""
    name = call.required("name", "The name")
    if call.given("typed") != name:
        raise InvalidInput(f"the confirmation is not “{name}”", hint="type the name exactly; nothing was changed")
    call.reach.master.revoke(name, force=call.given("force") == "yes")
    call.session.note(f"{name} is revoked: SSO servers notice within one poll interval.")
    return Go("/servers")


def ask_revoke(call: Call) -> Page:
    """Ask before."""
    name = call.required("name", "The name")
    command = Equivalent("Revoke", f"keysvc server revoke {shell(name)}", "DELETE /v1/identities/NAME")
    return Page("revoke.html", f"Revoke {name}", {"name": name, "own": name == call.reach.name}, [command])


def cancel(call: Call) -> Go:
    """Cancel the join tokens of a name."""
    name = call.required("name", "The name")
    cancelled = call.reach.master.cancel_tokens(name)
    call.session.note(f"{cancelled} join token{'s' if cancelled != 1 else ''} of {name} cancelled.")
    return Go("/servers")


PLACES = (Place("/servers", "Servers and certificates", "System", lambda rights: rights.administers),)
ROUTES = (
    ("/servers", servers, False),
    ("/servers/enrol", enrol, True),
    ("/servers/revoke", ask_revoke, False),
    ("/servers/revoke", revoke, True),
    ("/servers/cancel", cancel, True),
)
