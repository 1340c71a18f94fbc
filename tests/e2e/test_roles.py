"""Roles as an administrator meets them: commands, a file of groups, and an agent that goes by both."""

from __future__ import annotations

import json
from collections import abc
from pathlib import Path

import pytest
from sites import Site, joined
from systems import Keysvc, eventually

from keysvc.cli.demo.processes import free_port
from keysvc.installation import config as configuration


@pytest.fixture
def site(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Site]:
    made = Site(tmp_path, keysvc)
    yield made
    made.end()


def test_a_program_is_let_in_where_a_group_of_it_is_named(site: Site, keysvc: Keysvc, tmp_path: Path) -> None:
    site.init("--no-backup")
    site.serve()
    agent = f"127.0.0.1:{free_port()}"
    server, program = (joined(site, keysvc, *who, agent) for who in (("web-01", "server"), ("payroll", "application")))
    groups = tmp_path / "groups.toml"
    groups.write_text("[groups]\n", "utf-8")
    configuration.change(server.config, {"authorizer": f"static://{groups}"})
    for name in ("SAP", "CRM"):
        site("app", "create", name, "--enable", "--administrator-account", f"NORDWIND\\{name} Admins")
        site("mapping", "set", name, "anna", "ANNA", "--enable")
        site("credential", "set", name, "anna", "--fields-file", "-", stdin=json.dumps({"Password": "geheim"}))

    def looked_up(name: str) -> str:
        done = keysvc("--config", program.config, "credential", "get", name, "anna", "--show")
        return done.out if done.status == 0 else done.err

    doctor = keysvc("--config", server.config, "doctor").out
    assert f"authorizer static://{groups} answers: web-01 is in 0 groups" in doctor
    with server.start("agent"):
        eventually(lambda: "has no role that allows credential.look-up" in looked_up("SAP"), seconds=30)
        groups.write_text("[groups]\n'nordwind\\sap admins' = ['Payroll']\n", "utf-8")
        eventually(lambda: "geheim" in looked_up("SAP"), seconds=30)
        assert "access-denied" in looked_up("CRM")
        of = keysvc("--config", server.config, "role", "of", "payroll", "--app", "SAP", "--json")
        assert json.loads(of.out) == {
            "name": "payroll",
            "groups": ["nordwind\\sap admins"],
            "roles": ["application-administrator"],
        }
        site("role", "set", "affiliate-administrator", "payroll", "NORDWIND\\Others")
        eventually(lambda: "geheim" in looked_up("CRM"), seconds=30)
        groups.write_text("[groups]\n'sap' = 'payroll'\n", "utf-8")
        site("role", "set", "affiliate-administrator")
        eventually(lambda: "authorizer-unavailable" in looked_up("SAP"), seconds=30)
        assert "the group 'sap' is no list of names" in looked_up("SAP")
    named = json.loads(site("role", "list", "--json").out)
    assert [(one["role"], one["application"]) for one in named] == [
        ("application-administrator", "CRM"),
        ("application-administrator", "SAP"),
    ]
    assert "is no role of the system" in site("role", "set", "application-user", "anna", ok=False).err
    assert "cache.purge" in site("role", "table", "--json").out
