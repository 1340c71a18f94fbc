"""The audit: filtered, followed, exported, verified."""

from __future__ import annotations

from typing import Any

import msgspec

from keysvc.model import AuditEntry, AuditTrail
from keysvc.sso.permissions import Right
from keysvc.sso.requests.audit import ReadAudit
from keysvc_console.calls import Call, Data, Equivalent, Page, Place, Text
from keysvc_console.rendering import when

PAGE = 50
EXPORTED = 5000
TRAILS = {
    AuditTrail.CHANGES: "What was changed",
    AuditTrail.MEMBERS: "What servers and users did for themselves, and who was shown a secret",
    AuditTrail.LOOKUPS: "Lookups and denials",
    AuditTrail.DELETED_APPLICATIONS: "Deleted applications",
    AuditTrail.DELETED_MAPPINGS: "Deleted mappings",
}
FILTERS = ("actor", "action", "subject", "result")


def audit(call: Call) -> Page:
    """One page of a trail, newest first."""
    asked = _asked(call)
    found = call.reach.agent.perform(
        ReadAudit(_trail(call), before=call.number("before", "The place"), limit=PAGE, **asked)
    )
    values = {
        "trails": [(trail.value, says) for trail, says in TRAILS.items()],
        "trail": _trail(call).value,
        "asked": asked,
        "found": found,
        "first": not call.given("before"),
        "administers": call.rights().administers,
    }
    trail = _trail(call).value
    equivalents = [
        Equivalent("This page", f"keysvc audit list --trail {trail}", f"GET /v1/audit?trail={trail}&limit={PAGE}"),
        Equivalent("Export", "keysvc audit export > FILE", "GET /v1/audit?after=0"),
        Equivalent("Verify", "keysvc audit verify", "GET /v1/audit/proof (master secret server)"),
    ]
    return Page("audit.html", "Audit", values, equivalents)


def follow(call: Call) -> Data:
    """What was added after an entry, oldest first; for the script."""
    found = call.reach.agent.perform(
        ReadAudit(_trail(call), after=call.number("after", "The place") or 0, limit=PAGE, **_asked(call))
    )
    rows = [[str(e.sequence), when(e.at), e.actor, e.origin, e.action, e.subject, e.result] for e in found.entries]
    newest = found.next if found.next is not None else found.newest
    return Data({"rows": rows, "newest": newest})


def export(call: Call) -> Text:
    """The newest entries that fit the filters, as JSON lines, oldest first."""
    entries: list[AuditEntry] = []
    before: int | None = None
    while len(entries) < EXPORTED:
        found = call.reach.agent.perform(ReadAudit(_trail(call), before=before, limit=500, **_asked(call)))
        entries += found.entries
        before = found.next
        if before is None:
            break
    lines = [msgspec.json.encode(entry).decode() for entry in reversed(entries)]
    return Text(f"audit-{_trail(call).value}.jsonl", "\n".join([*lines, ""]))


def verify(call: Call) -> Page:
    """Every trail, entry by entry."""
    found = call.reach.master.prove_audit()
    equivalents = [Equivalent("This page", "keysvc audit verify", "GET /v1/audit/proof (master secret server)")]
    return Page("proof.html", "Is the audit whole?", {"found": found}, equivalents)


def _trail(call: Call) -> AuditTrail:
    given = call.given("trail")
    return AuditTrail(given) if given in set(AuditTrail) else AuditTrail.CHANGES


def _asked(call: Call) -> dict[str, Any]:
    return {name: call.given(name) for name in FILTERS}


PLACES = (Place("/audit", "Audit", "Oversight", lambda rights: rights.may(Right.SEE_AUDIT)),)
ROUTES = (
    ("/audit", audit, False),
    ("/audit/follow.json", follow, False),
    ("/audit/export", export, False),
    ("/audit/verify", verify, True),
)
