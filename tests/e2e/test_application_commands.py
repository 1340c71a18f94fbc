"""What applications and their developers do on the command line, through an embedded SSO server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sites import Site
from systems import Keysvc


@pytest.fixture
def site(tmp_path: Path, keysvc: Keysvc):
    made = Site(tmp_path, keysvc)
    made.init("--no-backup")
    made.serve()
    yield made
    made.end()


def test_a_ticket_and_a_property_bag(site: Site) -> None:
    site("app", "create", "SAP", "--enable", "--allow-tickets", "--ticket-timeout", "5")
    site("mapping", "set", "SAP", "anna", "ANNA", "--enable")
    site("credential", "set", "SAP", "anna", "--fields-file", "-", stdin=json.dumps({"Password": "geheim"}))
    made = json.loads(site("ticket", "issue", "--user", "anna", "--json").out)
    redeem = ("ticket", "redeem", "SAP", "--ticket-file", "-")
    found = site(*redeem, "--sender", "anna", "--show", stdin=made["ticket"])
    assert "geheim" in found.out
    assert "used already" in site(*redeem, "--sender", "anna", stdin=made["ticket"], ok=False).err

    site("app", "create", "Adapters", "--type", "config-store", "--field", "Host", "--masked", "Password", "--enable")
    properties = json.dumps({"Host": "ftp.example", "Password": "geheim"})
    site("config-store", "set", "Adapters", "ftp", "--properties-file", "-", stdin=properties)
    shown = site("config-store", "get", "Adapters", "ftp").out
    assert "ftp.example" in shown
    assert "geheim" not in shown
    assert "geheim" in site("config-store", "get", "Adapters", "ftp", "--show", "--json").out
    site("config-store", "delete", "Adapters", "ftp")
    assert site("config-store", "get", "Adapters", "ftp", ok=False).err.startswith("error: not-found")


def test_mapping_list_is_narrowed_by_user_external_user_and_state(site: Site) -> None:
    site("app", "create", "SAP", "--enable")
    for user, external, *enable in (("anna", "A1", "--enable"), ("anton", "A2"), ("berta", "B1", "--enable")):
        site("mapping", "set", "SAP", user, external, *enable)

    def listed(*options: str) -> list[str]:
        return [found["user"] for found in json.loads(site("mapping", "list", "SAP", *options, "--json").out)]

    assert listed() == ["anna", "anton", "berta"]
    assert listed("--user", "an") == ["anna", "anton"]
    assert listed("--user", "an", "--disabled") == ["anton"]
    assert listed("--enabled") == ["anna", "berta"]
    assert listed("--external-user", "B1") == ["berta"]
    assert "no mapping fits" in site("mapping", "list", "SAP", "--external-user", "B1", "--disabled").out
