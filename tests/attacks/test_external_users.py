"""A user who wants to be another's external user, against a running agent."""

from __future__ import annotations

from attackers import Attacked, when_there

from keysvc.model import Role


def test_a_user_cannot_claim_an_external_user_that_another_row_has(attacked: Attacked) -> None:
    anna, bert = attacked.enrolled("anna", Role.USER), attacked.enrolled("bert", Role.USER)
    attacked.enrolled("web-01", Role.SERVER)
    attacked("app", "create", "SAP", "--enable", "--user-account", "anna", "--user-account", "bert")
    attacked("mapping", "set", "SAP", "bert", "BERT", "--enable")
    attacked.serve()
    _, url = attacked.agent()
    agent, theirs = when_there(url, anna), when_there(url, bert)

    def claims() -> list[int]:
        mapping, credential = "/v1/mapping?application=SAP&user=anna", "/v1/credential?application=SAP&user=anna"
        stored = {"fields": {"password": "x"}, "external_user": "BERT"}
        return [
            agent.ask("PUT", mapping, {"external_user": "BERT", "enable": True}).status,
            agent.ask("PUT", credential, stored).status,
        ]

    assert claims() == [409, 409]
    attacked("mapping", "disable", "SAP", "bert")
    assert claims() == [409, 409]
    assert agent.ask("PUT", "/v1/mapping?application=SAP&user=anna", {"external_user": "ANNA"}).status == 200
    assert claims() == [409, 409]
    with attacked.store() as store:
        assert [mapping.user for mapping in store.mappings_of_external_user("SAP", "BERT")] == ["bert"]
    again = theirs.ask("PUT", "/v1/mapping?application=SAP&user=bert", {"external_user": "BERT", "enable": True})
    assert again.status == 200
    attacked("mapping", "set", "SAP", "anna", "BERT")  # an administrator may share it
    for each in (agent, theirs):
        each.close()
