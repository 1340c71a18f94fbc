"""The first page: is everything well, and if not, what is to be done?"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keysvc.errors import KeysvcError
from keysvc.model import utc_now
from keysvc_console.calls import Call, Data, Equivalent, Page, Place
from keysvc_console.charts import versions_chart
from keysvc_console.rendering import span, what_and_hint

if TYPE_CHECKING:
    from keysvc.master.status import RotationStatus, SystemStatus
    from keysvc.web.asgi.messages import IdentityEntry

SOON = timedelta(days=30)
TO_DO = "Everything works, and something is to be done."
NO_AGENT = "start one with `keysvc agent`, or name it: keysvc console --agent HOST:PORT"
STATES = {
    "ready": ("good", "Everything works."),
    "rotating": ("busy", "A rotation is under way; nobody has to wait for it."),
    "degraded": ("bad", "Something needs you: see below."),
    "unconfigured": ("bad", "This system was not configured yet."),
}


def overview(call: Call) -> Page:
    """What the master secret server knows, for whoever it tells; what the agent knows, for everybody."""
    rights = call.rights()
    status: SystemStatus | None = None
    problems: list[tuple[str, str]] = []
    ending: list[IdentityEntry] = []
    agent = None
    if rights.administers:
        try:
            status = call.reach.master.status()
            ending = ending_soon(call.reach.master.identities())
        except KeysvcError as error:
            problems.append((str(error), error.hint))
    try:
        agent = call.reach.agent.status()
    except KeysvcError as error:
        problems.append(
            (str(error), f"start one with `keysvc agent`, or name it: keysvc console --agent HOST:PORT ({error.hint})")
        )
    if agent is not None and agent.problem:
        problems.append((f"the agent: {agent.problem}", "the master secret server is away for it; lookups go on"))
    alerts = [*problems]
    if status is not None:
        alerts += [what_and_hint(text) for text in (*status.problems, *status.warnings)]
        alerts += [
            (f"the certificate of {e.name} ends {e.expires_at:%Y-%m-%d}", "it renews itself while it is used")
            for e in ending
        ]
    state = status.state if status is not None else "degraded" if problems else "ready"
    values = {
        "status": status,
        "agent": agent,
        "state": state,
        "tone": STATES.get(state, ("bad", ""))[0],
        "says": TO_DO if alerts and state == "ready" else STATES.get(state, ("bad", "See below."))[1],
        "alerts": alerts,
        "chart": versions_chart(status.versions) if status is not None else None,
    }
    equivalents = [
        Equivalent("State of the system", "keysvc status", "GET /v1/status (master secret server)"),
        Equivalent("State of the agent", "", "GET /v1/status (agent)"),
        Equivalent("Your rights", f"keysvc role of {rights.name}", "GET /v1/rights (agent)"),
    ]
    return Page("overview.html", "Overview", values, equivalents if rights.administers else equivalents[1:])


def ending_soon(identities: list[IdentityEntry]) -> list[IdentityEntry]:
    """Those in force that end within a month."""
    now = utc_now()
    return [
        each
        for each in identities
        if each.revoked_at is None and each.expires_at is not None and now < each.expires_at < now + SOON
    ]


def progress(call: Call) -> Data:
    """The rotation as the script shows it while it goes on."""
    found = call.reach.master.status().rotation
    if found is None:
        return Data({"running": False, "says": "The rotation is finished. Reload the page to see the result."})
    return Data({"running": True, "done": found.done, "total": found.total, "says": rotation_line(found)})


def rotation_line(found: RotationStatus) -> str:
    """One sentence about a rotation."""
    if found.phase == "announced":
        waiting = ", ".join(found.waiting_for) or "the master secret server"
        return f"Version {found.to} is announced; waiting for {waiting}."
    if found.phase == "paused":
        return f"Paused at {found.done:,} of {found.total:,} credentials."
    said = f"{found.done:,} of {found.total:,} credentials are under version {found.to}"
    if found.rows_per_second:
        said += f", {found.rows_per_second:,} a second"
    if found.remaining_seconds is not None:
        said += f", {span(found.remaining_seconds)} left"
    return f"{said}."


PLACES = (Place("/", "Overview", "System", lambda _rights: True),)
ROUTES = (("/", overview, False), ("/rotation.json", progress, False))
