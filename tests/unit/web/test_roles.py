"""Every role and every operation of the table, walked over real HTTP; and who is not let through."""

from __future__ import annotations

import time
from collections import abc
from dataclasses import replace
from pathlib import Path

import pytest
from people import ADMINISTRATORS, AFFILIATES, ROLES, SSO_ADMINISTRATORS, USERS, Directory, People, allowed
from systems import SYSTEM_ID, System, configured, eventually
from web_servers import Served, serving_agent, serving_master

from keysvc.errors import AccessDenied, AuthorizerUnavailable, KeysvcError
from keysvc.model import ApplicationType, AuditTrail, Field, Flags, Role
from keysvc.plugin.changes import UNGUARDED, PutApplication, PutSystem
from keysvc.sso import SSO
from keysvc.sso.permissions import TABLE, Right, Scope, SSORole, matrix
from keysvc.sso.requests.audit import ReadAudit
from keysvc.sso.requests.mapping_search import SearchMappings
from keysvc.sso.requests.reveals import GetCredentialState, RevealField, RevealProperty
from keysvc.sso.requests.settings import ChangeSettings, GetSettings
from keysvc.sso.requests.system import NameSystemAdministrators, SetAuditLevels
from keysvc.web.agent.app import operations as agent_operations
from keysvc.web.agent.client import AgentClient
from keysvc.web.master.client import MasterClient
from keysvc.web.tls.identity_files import IdentityFiles

FIELDS = [Field("User Id", masked=False), Field("Password", masked=True)]
FLAGS = Flags(enabled=True, host_initiated=True, allow_tickets=True, validate_tickets=False, validate_password=False)
EVERYONE = [name for name, _, _ in ROLES.values()]


class Estate:
    """A system with an agent and a master secret server, the application SAP, and one of each role."""

    def __init__(self, system: System, sso: SSO, agent: Served, master: Served, directory: Directory, folder: Path):
        self.system, self.sso, self.agent, self.master, self.directory = system, sso, agent, master, directory
        self.folder = folder
        self.people = People(system, agent, folder)
        self.administration = system.administration()

    def application(self, name: str, type_: ApplicationType = ApplicationType.INDIVIDUAL, **accounts: object) -> None:
        """As the walk needs it, whatever was done to it before."""
        store = self.system.store()
        known = store.application(name)
        if known is None:
            self.administration.create_application(name, FIELDS, type_=type_)
            known = self.administration.application(name)
        given = {"user_accounts": (USERS,), "administrator_accounts": (ADMINISTRATORS,), **accounts}
        wanted = replace(known, flags=FLAGS, description="", **given)
        if wanted != known:
            store.commit([PutApplication(wanted)], UNGUARDED)

    def prepare(self) -> None:
        for name in ("SAP", "Scrap"):
            self.application(name)
        if self.system.store().application("New") is not None:
            self.administration.delete_application("New")
        self.application("Bags", ApplicationType.CONFIG_STORE)
        for user in (*EVERYONE, "bert"):
            self.administration.set_mapping("SAP", user, user.upper(), enable=True)
            self.sso.set_credential("SAP", {"Password": "geheim"}, user=user)
        self.sso.set_config_info("Bags", {"Password": "geheim"}, name="ftp")

    def client(self, role: SSORole) -> AgentClient:
        name, certificate, _ = ROLES[role]
        return self.people.client(name, certificate)

    def master_client(self, role: SSORole) -> MasterClient:
        self.client(role)
        files = IdentityFiles(self.folder / f"identity-{ROLES[role][0]}")
        return MasterClient([self.master.url], files, SYSTEM_ID)


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[Estate]:
    folder = tmp_path_factory.mktemp("estate")
    system = configured(folder)
    system.start()
    directory = Directory({name: {group} for name, _, group in ROLES.values() if group})
    sso, _ = system.sso(authorizer=directory)
    record = system.store().system()
    settings = replace(record.settings, affiliate_administrators=f"someone; {AFFILIATES.upper()}")
    system.store().commit([PutSystem(replace(record, settings=settings))], UNGUARDED)
    with (
        serving_agent(system, sso, folder, administrators=SSO_ADMINISTRATORS) as agent,
        serving_master(system, folder / "master") as master,
    ):
        made = Estate(system, sso, agent, master, directory, folder)
        made.prepare()
        for name, role, _ in ROLES.values():
            client = made.people.client(name, role)
            eventually(lambda client=client: answers(client))
        yield made
        made.people.close()
    system.close()


def answers(client: AgentClient) -> bool:
    return allowed(client.status)


def listed(client: AgentClient, user: str) -> None:
    """A list shows what may be seen, and does not say that there is more."""
    if user not in [mapping.user for mapping in client.administration.mappings("SAP")]:
        raise AccessDenied("it is not in the list")


def found_by_search(client: AgentClient, user: str) -> None:
    if user not in [mapping.user for mapping in client.perform(SearchMappings("SAP", user[:2])).items]:
        raise AccessDenied("it is not found")


Do = abc.Callable[[AgentClient, str], object]
CASES: dict[Right, list[Do]] = {
    Right.CREATE_APPLICATION: [lambda c, _: c.administration.create_application("New", FIELDS)],
    Right.CHANGE_APPLICATION: [
        lambda c, _: c.administration.enable_application("SAP", enabled=True),
        lambda c, _: c.administration.change_application("SAP", description="x", flags={"direct_password_sync": False}),
    ],
    Right.SET_TICKETS: [lambda c, _: c.administration.change_application("SAP", ticket_timeout_minutes=0)],
    Right.NAME_ADMINISTRATORS: [
        lambda c, _: c.administration.change_application("SAP", administrator_accounts=[ADMINISTRATORS])
    ],
    Right.NAME_USERS: [lambda c, _: c.administration.change_application("SAP", user_accounts=[USERS])],
    Right.DELETE_APPLICATION: [lambda c, _: c.administration.delete_application("Scrap")],
    Right.SEE_APPLICATION: [
        lambda c, _: c.application("SAP"),
        lambda c, _: c.administration.application("SAP"),
        lambda c, _: next(a for a in c.applications() if a.name == "SAP"),
    ],
    Right.SEE_MAPPINGS: [
        lambda c, user: c.administration.mapping("SAP", user),
        lambda c, user: c.perform(GetCredentialState("SAP", user)),
        listed,
        found_by_search,
    ],
    Right.CHANGE_MAPPINGS: [
        lambda c, user: c.administration.set_mapping("SAP", user, user.upper()),
        lambda c, user: c.administration.enable_mapping("SAP", user, enabled=False),
        lambda c, user: c.administration.enable_mapping("SAP", user, enabled=True),
        lambda c, user: c.administration.delete_mapping("SAP", user),
    ],
    Right.LOOK_UP: [
        lambda c, user: c.credential("SAP", user=user),
        lambda c, u: c.credential("SAP", user=u, fresh=True),
        lambda c, u: c.perform(RevealField("SAP", u, "Password")),
    ],
    Right.LOOK_UP_BY_EXTERNAL_USER: [lambda c, user: c.lookup("SAP", external_user=user.upper())],
    Right.CHANGE_CREDENTIALS: [
        lambda c, user: c.set_credential("SAP", {"Password": "neu"}, user=user),
        lambda c, user: c.delete_credential("SAP", user=user),
    ],
    Right.ISSUE_TICKETS: [lambda c, user: c.ticket(user=user)],
    Right.REDEEM_TICKETS: [lambda c, _: c.redeem("SAP", TICKETS[0])],
    Right.SEE_CONFIG_INFO: [
        lambda c, _: c.get_config_info("Bags", name="ftp"),
        lambda c, _: c.perform(RevealProperty("Bags", "ftp", "Password")),
    ],
    Right.CHANGE_CONFIG_INFO: [
        lambda c, _: c.set_config_info("Bags", {"Password": "neu"}, name="ftp"),
        lambda c, _: c.delete_config_info("Bags", name="ftp"),
    ],
    Right.PURGE_CACHE: [lambda c, _: c.purge_cache("SAP")],
    Right.CHANGE_SETTINGS: [
        lambda c, _: c.perform(GetSettings()),
        lambda c, _: c.perform(ChangeSettings(ticket_timeout_minutes=3)),
        lambda c, _: c.perform(SetAuditLevels()),
        lambda c, _: c.perform(NameSystemAdministrators()),
    ],
    Right.SEE_AUDIT: [lambda c, _: c.perform(ReadAudit())],
}
TICKETS: list[str] = []


def found(estate: Estate, right: Right, role: SSORole) -> Scope:
    """How far a right goes, as the agent has it: every call of the right says the same."""
    if right is Right.MASTER_SECRET:
        client = estate.master_client(role)
        reach = Scope.YES if allowed(lambda: client.change_rotation(paused=False)) else Scope.NO
        client.close()
        return reach
    own, client = ROLES[role][0], estate.client(role)
    reaches = set()
    for do in CASES[right]:
        results = []
        for user in (own, "bert"):
            estate.prepare()
            TICKETS[:] = [estate.sso.ticket(user="bert").text.reveal()]
            results.append(allowed(lambda do=do, user=user: do(client, user)))
        reaches.add({(True, True): Scope.YES, (True, False): Scope.OWN, (False, False): Scope.NO}[tuple(results)])
    assert len(reaches) == 1, (right, role, reaches)
    return reaches.pop()


def test_every_role_may_do_just_what_the_table_says(estate: Estate, capsys: pytest.CaptureFixture[str]) -> None:
    walked = {(right, role): found(estate, right, role) for right in Right for role in SSORole}
    with capsys.disabled():
        print(f"\n\n{matrix(lambda right, role: walked[right, role])}\n")
    assert walked == {(right, role): TABLE[right].of(role) for right in Right for role in SSORole}


def test_every_operation_of_an_agent_has_a_right_and_every_right_a_case() -> None:
    operations = agent_operations(None)
    without = {operation.path for operation in operations if not operation.rights}
    assert without == {"/v1/status", "/v1/applications", "/v1/rights"}  # each is about what the caller may do
    needed = {right for operation in operations for right in operation.rights}
    assert needed | {Right.MASTER_SECRET} == set(Right) == set(TABLE) == {*CASES, Right.MASTER_SECRET}


def test_everybody_is_told_the_roles_and_the_rights_that_it_has(estate: Estate) -> None:
    estate.prepare()
    for role, (name, certificate, _) in ROLES.items():
        told = estate.client(role).rights("SAP")
        assert (told.name, told.certificate) == (name, certificate)
        assert told.roles == (role,)
        reach = {right.value: row.of(role) for right, row in TABLE.items()}
        assert told.rights == {right: scope for right, scope in reach.items() if scope is not Scope.NO}
    anna = estate.client(SSORole.APPLICATION_USER)
    assert anna.rights().roles == ()
    assert anna.rights("SAP").rights["credential.look-up"] is Scope.OWN
    assert anna.rights("no such application").rights == {}


def test_a_user_of_one_application_is_no_user_of_another(estate: Estate) -> None:
    estate.application("Other", user_accounts=("NORDWIND\\Other Users",), administrator_accounts=())
    estate.directory.groups["otto"] = {"NORDWIND\\Other Users"}
    otto = estate.people.client("otto")
    eventually(lambda: answers(otto))
    for user in ("otto", "bert"):
        estate.administration.set_mapping("SAP", user, user.upper(), enable=True)
        estate.administration.set_mapping("Other", user, user.upper(), enable=True)
    for right, cases in CASES.items():
        for do in cases:
            TICKETS[:] = [estate.sso.ticket(user="bert").text.reveal()]
            if right is Right.ISSUE_TICKETS:  # is of no application
                continue
            for user in ("otto", "bert"):
                assert not isinstance(outcome(do, otto, user), AgentClient), (right, user)
    assert [application.name for application in otto.applications()] == ["Other"]
    assert otto.administration.mapping("Other", "otto").external_user == "OTTO"


def outcome(do: Do, client: AgentClient, user: str) -> object:
    try:
        do(client, user)
    except (AccessDenied, StopIteration) as denied:
        return denied
    return client


def test_a_stranger_learns_not_even_which_applications_there_are(estate: Estate) -> None:
    stranger = estate.people.client("stranger")
    eventually(lambda: answers(stranger))
    said = []
    for name in ("SAP", "None"):
        with pytest.raises(AccessDenied) as denied:
            stranger.application(name)
        said.append(str(denied.value).replace(name, "NAME"))
    assert said[0] == said[1] == "stranger has no role that allows application.see of NAME"
    assert stranger.applications() == ()


def test_what_was_denied_is_in_the_audit(estate: Estate) -> None:
    estate.prepare()
    with pytest.raises(AccessDenied):
        estate.client(SSORole.APPLICATION_USER).administration.delete_application("SAP")
    entry = estate.system.store().audit(AuditTrail.LOOKUPS, limit=10_000)[-1]
    assert (entry.actor, entry.action, entry.subject, entry.result) == (
        "anna",
        "operation.denied",
        "SAP: *",
        "access-denied",
    )
    about = {"application": "SAP", "user": "*", "right": "application.delete"}
    assert (dict(entry.detail), entry.origin) == (about, "127.0.0.1")


def test_a_membership_that_ended_is_gone_within_one_poll_interval(estate: Estate) -> None:
    estate.prepare()
    estate.directory.groups["carla"] = {USERS}
    estate.administration.set_mapping("SAP", "carla", "CARLA", enable=True)
    estate.sso.set_credential("SAP", {"Password": "geheim"}, user="carla")
    carla = estate.people.client("carla")
    eventually(lambda: allowed(lambda: carla.credential("SAP", user="carla")))
    ended = time.monotonic()
    del estate.directory.groups["carla"]
    eventually(lambda: not allowed(lambda: carla.credential("SAP", user="carla")))
    assert time.monotonic() - ended < estate.sso.poll_interval() * 1.5 + 20  # a moment, on a quiet machine


def test_while_the_authorizer_is_away_nothing_that_needs_a_group_is_allowed(estate: Estate) -> None:
    estate.prepare()
    keeper, boss = estate.client(SSORole.APPLICATION_ADMINISTRATOR), estate.client(SSORole.SSO_ADMINISTRATOR)
    keeper.credential("SAP", user="bert")
    estate.directory.away = True
    try:
        eventually(lambda: not allowed(lambda: keeper.credential("SAP", user="bert")))
        with pytest.raises(AuthorizerUnavailable, match="the directory does not answer") as denied:
            keeper.credential("SAP", user="bert")
        assert (denied.value.code, denied.value.retryable) == ("authorizer-unavailable", True)
        boss.credential("SAP", user="bert")  # whose certificate says it
        estate.application("SAP", administrator_accounts=("KEEPER",))
        eventually(lambda: allowed(lambda: keeper.credential("SAP", user="bert")))  # named itself
    finally:
        estate.directory.away = False
    eventually(lambda: allowed(lambda: estate.client(SSORole.APPLICATION_USER).credential("SAP", user="anna")))


def test_an_application_that_names_no_users_has_those_who_were_mapped_and_they_map_nobody(estate: Estate) -> None:
    estate.application("Open", user_accounts=(), administrator_accounts=())
    estate.administration.set_mapping("Open", "dora", "DORA", enable=True)
    estate.administration.set_mapping("Open", "payroll", "PAYROLL", enable=True)
    dora, emil = estate.people.client("dora", Role.APPLICATION), estate.people.client("emil", Role.APPLICATION)
    eventually(lambda: answers(dora) and answers(emil))
    dora.set_credential("Open", {"Password": "geheim"}, user="dora")
    assert dora.credential("Open", user="dora")["Password"].reveal() == "geheim"
    for wrong in (
        lambda: dora.credential("Open", user="payroll"),
        lambda: emil.credential("Open", user="dora"),
        lambda: emil.credential("Open", user="emil"),
        lambda: emil.set_credential("Open", {"Password": "x"}, user="emil", external_user="EMIL"),
        lambda: emil.administration.set_mapping("Open", "emil", "EMIL"),
        lambda: dora.administration.change_application("Open", user_accounts=["dora"]),
    ):
        with pytest.raises(AccessDenied):
            wrong()
    dora.administration.delete_mapping("Open", "dora")
    with pytest.raises(AccessDenied):
        dora.administration.set_mapping("Open", "dora", "DORA")


def test_bags_of_a_config_store_are_no_users(estate: Estate) -> None:
    estate.application("Unnamed", ApplicationType.CONFIG_STORE, user_accounts=(), administrator_accounts=())
    estate.sso.set_config_info("Unnamed", {"Password": "geheim"}, name="fritz")
    fritz = estate.people.client("fritz", Role.APPLICATION)
    eventually(lambda: answers(fritz))
    with pytest.raises(AccessDenied):
        fritz.get_config_info("Unnamed", name="fritz")


def test_where_the_administrators_are_the_same_those_that_the_application_names_do_not_count(estate: Estate) -> None:
    same = Flags(enabled=True, administrators_same=True)
    if estate.system.store().application("Same") is None:
        estate.administration.create_application("Same", FIELDS, flags=same, administrator_accounts=["keeper"])
    estate.administration.set_mapping("Same", "bert", "BERT", enable=True)
    with pytest.raises(AccessDenied):
        estate.client(SSORole.APPLICATION_ADMINISTRATOR).administration.mapping("Same", "bert")
    estate.client(SSORole.AFFILIATE_ADMINISTRATOR).administration.mapping("Same", "bert")


def test_a_group_shares_a_mapping_and_does_not_change_it(estate: Estate) -> None:
    estate.application("Team", ApplicationType.GROUP)
    estate.administration.set_mapping("Team", USERS, "TEAM", enable=True)
    estate.administration.set_mapping("Team", "NORDWIND\\Others", "OTHERS", enable=True)
    estate.sso.set_credential("Team", {"Password": "geheim"}, user=USERS)
    anna = estate.client(SSORole.APPLICATION_USER)
    assert anna.credential("Team", user=USERS).external_user == "TEAM"
    assert anna.credential("Team", user="anna").external_user == "TEAM"  # which is how a program asks
    assert [mapping.user for mapping in anna.mappings("Team")] == [USERS]
    for wrong in (
        lambda: anna.credential("Team", user="NORDWIND\\Others"),
        lambda: anna.set_credential("Team", {"Password": "x"}, user=USERS),
        lambda: anna.administration.delete_mapping("Team", USERS),
    ):
        with pytest.raises(AccessDenied):
            wrong()


def test_sso_administrators_may_be_a_group_but_the_master_secret_needs_a_certificate(estate: Estate) -> None:
    estate.directory.groups["chief"] = {SSO_ADMINISTRATORS.swapcase()}
    chief = estate.people.client("chief")
    eventually(lambda: answers(chief))
    chief.administration.change_application("SAP", flags={"allow_tickets": True})
    client = MasterClient([estate.master.url], IdentityFiles(estate.folder / "identity-chief"), SYSTEM_ID)
    with pytest.raises(AccessDenied):
        client.change_rotation(paused=False)
    client.close()


def test_an_sso_server_administers_what_it_can_decrypt_and_creates_nothing(estate: Estate) -> None:
    estate.prepare()
    server = estate.people.client("web-02", Role.SERVER)
    eventually(lambda: answers(server))
    server.credential("SAP", user="bert")
    server.administration.set_mapping("SAP", "bert", "BERT")
    for wrong in (
        lambda: server.administration.create_application("New", FIELDS),
        lambda: server.administration.delete_application("SAP"),
        lambda: server.administration.change_application("SAP", administrator_accounts=["web-02"]),
    ):
        with pytest.raises(AccessDenied):
            wrong()


def test_the_ticket_flags_of_a_new_application_need_the_right_to_set_them(estate: Estate) -> None:
    estate.prepare()
    affiliate = estate.client(SSORole.AFFILIATE_ADMINISTRATOR)
    with pytest.raises(AccessDenied, match=r"application\.set-tickets"):
        affiliate.administration.create_application("New", FIELDS, flags=Flags(allow_tickets=True))
    with pytest.raises(AccessDenied, match=r"application\.set-tickets"):
        affiliate.administration.create_application("New", FIELDS, ticket_timeout_minutes=60)
    made = affiliate.administration.create_application("New", FIELDS, user_accounts=["anna"])
    assert affiliate.administration.create_application("New", FIELDS, user_accounts=["anna"]) == made
    with pytest.raises(KeysvcError, match="exists"):
        affiliate.administration.create_application("New", FIELDS[:1])


def test_what_is_changed_through_an_agent_is_known_there_at_once(estate: Estate) -> None:
    estate.prepare()
    boss = estate.client(SSORole.SSO_ADMINISTRATOR)
    boss.credential("SAP", user="bert")
    boss.administration.enable_mapping("SAP", "bert", enabled=False)
    with pytest.raises(AccessDenied, match="disabled"):
        boss.credential("SAP", user="bert")
    boss.administration.enable_mapping("SAP", "bert", enabled=True)
    boss.credential("SAP", user="bert")
    boss.administration.enable_application("SAP", enabled=False)
    with pytest.raises(AccessDenied, match="disabled"):
        boss.credential("SAP", user="bert")


def test_changes_through_an_agent_name_the_caller_and_are_sealed_at_once(estate: Estate) -> None:
    estate.prepare()
    boss = estate.client(SSORole.SSO_ADMINISTRATOR)
    boss.administration.change_application("SAP", contact="someone")
    entries = [e for e in estate.system.store().audit(limit=10_000) if e.action == "application.changed"]
    assert (entries[-1].actor, entries[-1].subject, entries[-1].origin) == ("boss", "SAP", "127.0.0.1")
    boss.administration.enable_application("SAP", enabled=False)
    last = estate.system.store().audit(limit=10_000)[-1]
    assert (last.actor, last.action, last.subject) == ("boss", "application.disabled", "SAP")
