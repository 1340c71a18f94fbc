"""What one certificate can write into the audit, against a running server."""

from __future__ import annotations

import json
from collections import Counter

from attackers import Attacked, when_there

from keysvc.model import AuditTrail, Role
from keysvc.sso.performer import OWN_BURST

RENEWALS, CHANGES = 100, 100


def test_a_user_cannot_push_out_what_administrators_did(attacked: Attacked) -> None:
    anna = attacked.enrolled("anna", Role.USER)
    attacked.enrolled("web-01", Role.SERVER)
    attacked("app", "create", "SAP", "--enable")
    attacked("mapping", "set", "SAP", "anna", "ANNA", "--enable")
    attacked.serve()
    _, url = attacked.agent()
    agent = when_there(url, anna)
    with attacked.store() as store:
        before = [entry.action for entry in store.audit()]
    kept = attacked.kept(anna)
    renewed = Counter(kept.renew("anna")[0].status for _ in range(RENEWALS))
    assert renewed == {200: 1, 429: RENEWALS - 1}
    kept.close()
    where = "/v1/mapping?application=SAP&user=anna"
    changed = Counter(agent.ask("PATCH", where, {"enabled": bool(number % 2)}).status for number in range(CHANGES))
    agent.close()
    assert set(changed) == {200, 429}
    assert OWN_BURST <= changed[200] < OWN_BURST + 10
    with attacked.store() as store:
        assert [entry.action for entry in store.audit(limit=1000)] == before
        found = [entry for entry in store.audit(AuditTrail.MEMBERS, limit=1000) if entry.actor == "anna"]
    members = Counter(entry.action for entry in found)
    assert members["identity.renewed"] == 1
    assert members["mapping.enabled"] + members["mapping.disabled"] == changed[200]
    proved = {each["trail"]: each for each in json.loads(attacked("audit", "verify", "--json").out)}
    assert (proved["changes"]["entries"], proved["changes"]["problems"]) == (len(before), [])
    assert proved["members"]["problems"] == []
