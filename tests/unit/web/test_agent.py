"""An agent over HTTP, asked by the typed client and by hand."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import ssl
from collections import abc
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import urllib3
from systems import SYSTEM_ID, System
from web_servers import Served, certificate, enrolled, serving_agent

from keysvc.errors import (
    AccessDenied,
    Changed,
    ConfigurationError,
    Conflict,
    InvalidInput,
    MasterSecretServerUnavailable,
    NotFound,
)
from keysvc.model import ApplicationType, AuditTrail, Guard, Role, SecretText
from keysvc.plugin.changes import PutApplication
from keysvc.sso import SSO
from keysvc.sso.requests.credentials import ImportCredentials, LookUpCredential, SetCredential
from keysvc.sso.requests.mappings import ListMappings
from keysvc.sso.requests.request import Request
from keysvc.web.agent import local_socket
from keysvc.web.agent.client import AgentClient
from keysvc.web.agent.examples import EXAMPLES
from keysvc.web.agent.local_socket import LocalCallers, listen_at
from keysvc.web.agent.routes import WIRES
from keysvc.web.asgi.connection import UnixConnection
from keysvc.web.asgi.exchange import Caller
from keysvc.web.asgi.secret_texts import hide_secret, reveal_secret

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def sso(system: System) -> SSO:
    system.with_users("anna", "bert", "N\\ü ? & %")
    system.start()
    return system.sso()[0]


@pytest.fixture
def agent(system: System, sso: SSO, tmp_path: Path) -> abc.Iterator[Served]:
    with serving_agent(system, sso, tmp_path) as served:
        yield served


@pytest.fixture(params=["port", "socket"])
def client(request: pytest.FixtureRequest, agent: Served) -> abc.Iterator[AgentClient]:
    made = agent.client() if request.param == "port" else agent.local_client()
    yield made
    made.close()


def ask(agent: Served, method: str, path: str, **headers: str) -> tuple[int, abc.Mapping[str, str], dict]:
    connection = UnixConnection(str(agent.socket), "the agent")
    response = connection._pool.urlopen(method, path, headers=headers, retries=False)
    found = response.status, dict(response.headers), json.loads(response.data) if response.data else {}
    connection.close()
    return found


def test_a_certificate_that_is_newer_than_the_agents_last_reading_is_let_in_at_once(
    system: System, sso: SSO, tmp_path: Path
) -> None:
    with serving_agent(system, sso, tmp_path, read_every=3600) as agent:
        theirs = enrolled(system, "newcomer", Role.APPLICATION, tmp_path)
        client = AgentClient(agent.url, theirs, SYSTEM_ID)
        assert client.rights() is not None
        client.close()
        stranger = AgentClient(agent.url, certificate(system, "stranger", Role.APPLICATION, tmp_path), SYSTEM_ID)
        with pytest.raises(AccessDenied, match="stranger is not enrolled"):
            stranger.rights()
        stranger.close()


def subclasses(kind: type) -> abc.Iterator[type]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("keysvc."):
            yield each
        yield from subclasses(each)


def test_every_request_but_a_whole_import_has_a_route_to_an_agent() -> None:
    assert set(subclasses(Request)) - set(WIRES) == {ImportCredentials}


@pytest.mark.parametrize(
    "asked",
    [
        *EXAMPLES.values(),
        LookUpCredential("SAP", "anna", fresh=True),
        SetCredential("SAP", "anna", {}, expected_revision=0),
        SetCredential("SAP", "anna", {}, expected_revision=7),
        ListMappings("SAP", "anna", 3),
    ],
    ids=repr,
)
def test_the_request_that_an_agent_reads_is_the_one_that_the_client_sent(asked: Request) -> None:
    wire = WIRES[type(asked)]
    query, headers, content = wire.write(asked)
    body = b"{}" if content is None else msgspec.json.encode(content, enc_hook=reveal_secret)
    parameters = msgspec.convert({**query, **headers}, wire.parameters, strict=False)
    assert wire.read(parameters, msgspec.json.decode(body, type=wire.content, dec_hook=hide_secret)) == asked


def test_applications_and_mappings_are_administered(agent: Served, system: System) -> None:
    client = agent.client()
    fields = system.administration().application("SAP").fields
    made = client.administration.create_application("FTP", fields, user_accounts=["anna"], contact="someone")
    assert (made.flags.enabled, made.user_accounts) == (False, ("anna",))
    assert client.administration.create_application("FTP", fields, user_accounts=["anna"], contact="someone") == made
    with pytest.raises(Conflict, match="exists"):
        client.administration.create_application("FTP", fields)
    client.administration.enable_application("FTP", enabled=True)
    changed = client.administration.change_application("FTP", description="files", ticket_timeout_minutes=5)
    assert (changed.description, changed.contact, changed.ticket_timeout_minutes) == ("files", "someone", 5)
    assert changed == client.administration.application("FTP") == system.administration().application("FTP")
    with pytest.raises(InvalidInput, match="settled"):
        client.administration.change_application("FTP", flags={"administrators_same": True})
    with pytest.raises(InvalidInput):
        client.administration.change_application("FTP", flags={"nonsense": True})
    for user in ("anna", "bert"):
        assert not client.administration.set_mapping("FTP", user, user.upper()).enabled
    assert client.administration.enable_all_mappings("FTP", enabled=True) == 2
    client.administration.enable_mapping("FTP", "bert", enabled=False)
    assert [(one.user, one.enabled) for one in client.administration.mappings("FTP")] == [
        ("anna", True),
        ("bert", False),
    ]
    client.administration.delete_mapping("FTP", "bert")
    with pytest.raises(NotFound):
        client.administration.mapping("FTP", "bert")
    client.administration.delete_application("FTP")
    with pytest.raises(NotFound):
        client.administration.set_mapping("FTP", "anna", "ANNA")
    client.close()


def test_a_credential_is_stored_looked_up_and_deleted(client: AgentClient) -> None:
    for user in ("anna", "N\\ü ? & %"):
        assert client.set_credential("SAP", {"password": "geheim"}, user=user) == 1
        found = client.credential("SAP", user=user)
        assert (found.external_user, found["password"].reveal(), found.masked) == (user.upper(), "geheim", {"Password"})
        client.delete_credential("SAP", user=user)
        with pytest.raises(NotFound, match="no credential"):
            client.credential("SAP", user=user)


def test_a_lookup_by_external_user(client: AgentClient, system: System) -> None:
    client.set_credential("SAP", user="anna", password="geheim")
    with pytest.raises(AccessDenied, match="external user"):
        client.lookup("SAP", external_user="ANNA")
    system.administration().change_application("SAP", flags={"host_initiated": True})
    for password in (None, "wrong"):
        with pytest.raises(AccessDenied, match="password"):
            client.lookup("SAP", external_user="ANNA", password=password)
    assert client.lookup("SAP", external_user="ANNA", password=SecretText("geheim")).user == "anna"


def test_who_read_before_does_not_overwrite_what_another_wrote(client: AgentClient) -> None:
    client.set_credential("SAP", user="anna", expected_revision=0, password="first")
    read = client.credential("SAP", user="anna")
    client.set_credential("SAP", user="anna", password="theirs")
    for stale in (read.revision, 0):
        with pytest.raises(Changed):
            client.set_credential("SAP", user="anna", expected_revision=stale, password="mine")
    now = client.credential("SAP", user="anna")
    client.set_credential("SAP", user="anna", expected_revision=now.revision, password="mine")
    assert client.credential("SAP", user="anna")["password"].reveal() == "mine"


def test_a_fresh_lookup_and_purging(client: AgentClient, system: System) -> None:
    client.set_credential("SAP", user="anna", password="old")
    client.credential("SAP", user="anna")
    other, _ = system.sso("web-02")
    other.set_credential("SAP", user="anna", password="new")
    assert client.credential("SAP", user="anna", fresh=True)["password"].reveal() == "new"
    assert (client.purge_cache("SAP"), client.purge_cache()) == (1, 0)


def test_lists_come_in_pages(client: AgentClient, system: System) -> None:
    administration = system.administration()
    for name in ("B", "A"):
        administration.create_application(name, administration.application("SAP").fields)
    assert [application.name for application in client.applications()] == ["A", "B", "SAP"]
    assert [application.name for application in client.applications(after="A", limit=1)] == ["B"]
    assert [mapping.user for mapping in client.mappings("SAP", limit=2)] == ["N\\ü ? & %", "anna"]
    assert [mapping.user for mapping in client.mappings("SAP", after="anna")] == ["bert"]
    assert client.application("SAP") == administration.application("SAP")
    with pytest.raises(NotFound):
        client.mappings("NONE")


def test_a_ticket_is_issued_for_the_caller_or_another_and_redeemed(client: AgentClient, system: System) -> None:
    application = system.administration().application("SAP")
    flags = replace(application.flags, allow_tickets=True)
    system.store().commit([PutApplication(replace(application, flags=flags))], Guard())
    client.set_credential("SAP", user="anna", password="geheim")
    assert client.ticket().user in {"payroll", f"web-01\\{ME}"}
    made = client.ticket(user="anna")
    assert client.redeem("SAP", made.text, sender="anna")["password"].reveal() == "geheim"
    with pytest.raises(AccessDenied, match="used already"):
        client.redeem("SAP", made.text.reveal(), sender="anna")


def test_a_property_bag(client: AgentClient, system: System) -> None:
    fields = system.administration().application("SAP").fields
    system.administration().create_application("Adapters", fields, type_=ApplicationType.CONFIG_STORE)
    system.administration().enable_application("Adapters", enabled=True)
    client.set_config_info("Adapters", {"password": "geheim"}, name="ftp")
    assert client.get_config_info("Adapters", name="ftp", fresh=True)["Password"].reveal() == "geheim"
    client.delete_config_info("Adapters", name="ftp")
    with pytest.raises(NotFound):
        client.get_config_info("Adapters", name="ftp")


def test_the_last_page_says_so(agent: Served) -> None:
    status, _, first = ask(agent, "GET", "/v1/mappings?application=SAP&limit=2")
    assert (status, first["next"]) == (200, "anna")
    _, _, rest = ask(agent, "GET", "/v1/mappings?application=SAP&limit=2&after=anna")
    assert ([mapping["user"] for mapping in rest["items"]], rest["next"]) == (["bert"], None)


def test_the_status_is_the_servers(client: AgentClient, sso: SSO) -> None:
    assert client.status() == sso.status()


def test_a_credential_has_an_etag_and_no_cache_keeps_it(agent: Served, sso: SSO) -> None:
    sso.set_credential("SAP", user="anna", password="geheim")
    status, headers, body = ask(agent, "GET", "/v1/credential?application=SAP&user=anna")
    assert status == 200
    assert (headers["etag"], headers["cache-control"]) == (f'"{body["revision"]}"', "no-store")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/credential?application=SAP", 400, "invalid-input"),
        ("GET", "/v1/credential?application=SAP&user=a&external_user=b", 400, "invalid-input"),
        ("GET", "/v1/credential?application=SAP&user=anna&user=bert", 400, "invalid-input"),
        ("GET", "/v1/credential?application=SAP&user=anna&password=x", 400, "invalid-input"),
        ("GET", "/v1/credential?application=SAP&user=nobody", 404, "not-found"),
        ("GET", "/v1/mappings?application=SAP&limit=501", 400, "invalid-input"),
        ("PUT", "/v1/credential?application=SAP&user=anna", 400, "invalid-input"),
        ("GET", "/nothing", 404, "not-found"),
        ("POST", "/v1/credential", 405, "http"),
    ],
)
def test_a_problem_has_the_members_of_rfc_9457(agent: Served, method: str, path: str, status: int, code: str) -> None:
    found, headers, problem = ask(agent, method, path)
    assert (found, headers["content-type"], problem["code"]) == (status, "application/problem+json", code)
    assert problem["status"] == status
    assert {"type", "title", "detail"} <= problem.keys()


def test_a_method_that_a_path_lacks_is_answered_with_those_that_it_has(agent: Served) -> None:
    _, headers, _ = ask(agent, "POST", "/v1/credential")
    assert {method.strip() for method in headers["allow"].split(",")} == {"GET", "HEAD", "PUT", "PATCH", "DELETE"}


def test_the_audit_names_who_asked_and_not_the_agent(agent: Served, system: System) -> None:
    for client in (agent.client(), agent.local_client()):
        client.set_credential("SAP", user="anna", password="geheim")
        client.close()
    trails = [system.store().audit(trail, limit=500) for trail in (AuditTrail.CHANGES, AuditTrail.MEMBERS)]
    actors = [[entry.actor for entry in trail if entry.action == "credential.set"] for trail in trails]
    assert actors == [["payroll"], [f"web-01\\{ME}"]]  # payroll administers the system


def test_without_a_certificate_a_port_tells_only_its_description(agent: Served) -> None:
    urllib3.disable_warnings()
    with urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False, retries=False) as stranger:
        assert stranger.request("GET", f"{agent.url}/v1/status").status == 403
        assert stranger.request("GET", f"{agent.url}/openapi.json").json()["openapi"] == "3.1.0"


def test_a_head_is_bounded_however_slowly_it_comes(agent: Served) -> None:
    at = urllib3.util.parse_url(agent.url)
    context = agent.identity.client_context()
    context.check_hostname = False
    with socket.create_connection((at.host, at.port)) as plain, context.wrap_socket(plain) as connection:
        connection.settimeout(20)
        connection.sendall(b"GET /v1/status HTTP/1.1\r\nHost: agent\r\nX: ")
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # which is how it ends, in time
            for _ in range(100):
                connection.sendall(b"x" * 1024)
            while connection.recv(4096):
                pass


def test_an_account_that_is_not_named_is_not_let_in(
    system: System, sso: SSO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_socket, "_is_this_process", lambda _user: False)
    with serving_agent(system, sso, tmp_path, allowed=("nobody",)) as served:
        client = served.local_client()
        with pytest.raises(AccessDenied, match=f"account {ME}"):
            client.status()
        client.close()


@pytest.mark.parametrize(
    ("allowed", "let_in"),
    [((), False), ((ME,), True), ((str(os.geteuid()),), True), (("@root",), ME == "root"), (("@daemon",), False)],
)
def test_who_may_call_is_an_account_its_number_or_a_group(
    monkeypatch: pytest.MonkeyPatch, allowed: tuple[str, ...], let_in: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)  # the agent's
    here, there = socket.socketpair()
    with here, there:
        if let_in:
            assert LocalCallers("web-01", allowed).admit(here).name == f"web-01\\{ME}"
        else:
            with pytest.raises(AccessDenied):
                LocalCallers("web-01", allowed).admit(here)


@pytest.mark.parametrize("allowed", [(), ("nobody",)])
@pytest.mark.parametrize("has_account", [True, False])
def test_the_account_that_runs_the_agent_may_always_call(
    monkeypatch: pytest.MonkeyPatch, allowed: tuple[str, ...], has_account: bool
) -> None:
    def nobody(_user: int) -> object:
        raise KeyError

    if not has_account:
        monkeypatch.setattr(pwd, "getpwuid", nobody)
    here, there = socket.socketpair()
    with here, there:
        caller = LocalCallers("web-01", allowed).admit(here)
    assert caller == Caller(f"web-01\\{ME if has_account else os.geteuid()}", Role.SERVER)


def test_a_user_without_an_account_is_not_taken_for_an_account_of_that_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_user: int) -> object:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: name == str(os.geteuid()))
    here, there = socket.socketpair()
    with here, there, pytest.raises(AccessDenied, match="another account is called"):
        LocalCallers("web-01").admit(here)


def test_a_socket_that_was_left_behind_is_replaced_and_one_in_use_or_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    listen_at(path).close()
    with listen_at(path), pytest.raises(ConfigurationError, match=r"agent\.sock"):
        listen_at(path)
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(ConfigurationError):
        listen_at(file)
    assert file.read_text() == "precious"


def test_an_agent_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    client = AgentClient.on_socket(str(tmp_path / "nothing"))
    with pytest.raises(MasterSecretServerUnavailable, match="the agent at"):
        client.status()
    client.close()


def test_a_body_that_does_not_fit_is_refused_without_repeating_it(agent: Served) -> None:
    client = agent.local_client()
    with pytest.raises(InvalidInput) as caught:
        client.set_credential("SAP", {"password": "x" * 3_000_000}, user="anna")
    assert "xxx" not in str(caught.value)
    client.close()
