"""An agent goes by what the directory says."""

from __future__ import annotations

from pathlib import Path

import ldap
import pytest
from people import People, allowed
from slapd import Slapd, eventually, group, person
from systems import configured
from web_servers import serving_agent

from keysvc.plugin import AccessDenied, AuthorizerUnavailable


def test_who_leaves_a_group_of_the_directory_is_denied_and_while_it_is_down_everybody(
    mortal_slapd: Slapd, tmp_path: Path
) -> None:
    system = configured(tmp_path)
    system.with_users("anna", "bert")
    system.administration().change_application("SAP", user_accounts=["nordwind\\sap users"])
    system.start()
    sso, _ = system.sso(authorizer=mortal_slapd.open(domain="NORDWIND"))
    for user in ("anna", "bert"):
        sso.set_credential("SAP", {"Password": "geheim"}, user=user)
    with serving_agent(system, sso, tmp_path) as served:
        people = People(system, served, tmp_path)
        anna, bert = people.client("anna"), people.client("bert")
        eventually(lambda: allowed(lambda: anna.credential("SAP", user="anna")))
        eventually(lambda: allowed(lambda: bert.credential("SAP", user="bert")))  # through Accounting
        with pytest.raises(AccessDenied):
            anna.credential("SAP", user="bert")
        connection = mortal_slapd.as_root()
        connection.modify_s(group("SAP Users"), [(ldap.MOD_DELETE, "member", [person("anna").encode()])])
        connection.unbind_s()
        eventually(lambda: not allowed(lambda: anna.credential("SAP", user="anna")))
        bert.credential("SAP", user="bert")
        mortal_slapd.kill()
        eventually(lambda: not allowed(lambda: bert.credential("SAP", user="bert")))
        with pytest.raises(AuthorizerUnavailable, match="Connection refused"):
            bert.credential("SAP", user="bert")
        people.close()
    system.close()
