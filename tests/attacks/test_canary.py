"""Marked secrets go through every command, every operation and every notifier: nothing that was written shows one."""

from __future__ import annotations

import json
import logging
import traceback
from collections import abc
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from canaries import (
    ALL,
    CREDENTIAL,
    KEY_STORE_PASSPHRASE,
    NOTIFIER_PASSWORD,
    OTHER_CREDENTIAL,
    PASSPHRASE,
    files_below,
    forms,
    leaks,
)
from sites import Site
from systems import Keysvc, System, eventually
from typer.testing import CliRunner
from web_servers import Served, serving_agent, serving_master

from keysvc.cli.commands import app
from keysvc.installation import assembly, config
from keysvc.model import SecretText
from keysvc.plugin.location import Location
from keysvc.web.agent import app as agent_app
from keysvc.web.asgi.connection import Connection
from keysvc.web.asgi.examples import EXAMPLES
from keysvc.web.asgi.routing import NoContent, Operation
from keysvc.web.asgi.secret_texts import reveal_secret
from keysvc.web.master import app as master_app

SECRETS = tuple(secret.encode() for secret in ALL)

# -- commands ------------------------------------------------------------------------------------------------------

NOT_HERE = {
    "demo": "it makes a system of its own, without these secrets",
    "dev": "it makes a system of its own, without these secrets",
    "init": "the test runs it, as a process",
    "serve": "the test runs it, as a process",
    "agent": "it is the same server as the one whose operations are called below",
    "join": "its secret is its token, which a command prints",
    "status --watch": "it does not end",
    "service": "of Windows",
    "registry": "of Windows",
}
COMMANDS: dict[str, tuple[str, ...]] = {
    "app create": ("SAP", "--enable", "--allow-tickets"),
    "app set": ("SAP", "--description", "d"),
    "app list": (),
    "app show": ("SAP",),
    "app disable": ("SAP",),
    "app enable": ("SAP",),
    "mapping set": ("SAP", "anna", "ANNA", "--enable"),
    "mapping list": ("SAP",),
    "mapping show": ("SAP", "anna"),
    "mapping disable": ("SAP", "anna"),
    "mapping enable": ("SAP", "anna"),
    "credential set": ("SAP", "anna", "--fields-file", "{fields}"),
    "credential get": ("SAP", "anna"),
    "credential lookup": ("SAP", "ANNA", "--password-file", "{password}"),
    "credential import": ("{credentials}",),
    "credential purge": ("SAP",),
    "ticket issue": ("--user", "anna"),
    "ticket redeem": ("SAP", "--ticket-file", "{password}"),
    "config-store set": ("Bags", "ftp", "--properties-file", "{fields}"),
    "config-store get": ("Bags", "ftp"),
    "config-store delete": ("Bags", "ftp"),
    "app import": ("{fields}",),
    "mapping import": ("{password}",),
    "import-entsso": ("{fields}",),
    "export-entsso": ("{folder}",),
    "status": (),
    "doctor": (),
    "secret list": (),
    "secret backup": ("{backup}", "--passphrase-file", "{passphrase}"),
    "secret rehearse": ("{backup}", "--passphrase-file", "{passphrase}"),
    "secret rotate": ("--wait",),
    "secret pause": (),
    "secret resume": (),
    "secret throttle": ("--max-rows-per-second", "100"),
    "secret verify": (),
    "secret destroy": ("1", "--yes"),
    "secret restore": ("{backup}", "--passphrase-file", "{passphrase}"),
    "secret reseal": ("--to", "file:{folder}/other?unlock=passphrase&passphrase-source=file:{passphrase}"),
    "secret protect": ("file:{folder}/second?unlock=passphrase&passphrase-source=file:{passphrase}",),
    "secret shares": ("--threshold", "2", "--of", "3", "--directory", "{folder}"),
    "secret recover": ("--share-file", "{password}"),
    "mapping-store migrate": ("--to", "sqlite:///{folder}/moved.db?password-source=file:{password}"),
    "server enroll": ("web-09",),
    "server list": (),
    "server tokens": (),
    "server cancel": ("web-09",),
    "server readmit": ("web-09",),
    "server revoke": ("web-09",),
    "user enroll": ("bert",),
    "user list": (),
    "user revoke": ("bert",),
    "role table": (),
    "role list": (),
    "role set": ("affiliate-administrator", "carl"),
    "role of": ("anna", "--app", "SAP"),
    "cluster status": (),
    "cluster step-down": (),
    "system show": (),
    "system disable": (),
    "system enable": (),
    "system names": ("folded",),
    "audit list": (),
    "audit export": (),
    "audit verify": ("--against", "{fields}"),
    "audit accept": ("changes", "--yes"),
    "audit level": ("--positive", "3"),
    "notify list": (),
    "notify test": (),
    "notify retry": ("--all",),
    "plugin list": (),
    "plugin new": ("canary", "--kind", "notifier", "--dir", "{folder}"),
    "plugin check": ("smtp://user:{secret}@[::1]/?password={secret}",),
    "credential delete": ("SAP", "anna"),
    "mapping delete": ("SAP", "anna"),
    "app delete": ("SAP", "--yes"),
}


def commands_in(command: Any, context: Any, path: tuple[str, ...] = ()) -> abc.Iterator[str]:
    """All that the command line has."""
    if not hasattr(command, "list_commands"):
        yield " ".join(path)
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        inside = inner.context_class(inner, parent=context, info_name=name)
        yield from commands_in(inner, inside, (*path, name))


def test_every_command_is_tried() -> None:
    root = typer.main.get_command(app)
    there = {path for path in commands_in(root, root.context_class(root)) if path.split()[0] not in NOT_HERE}
    assert there == COMMANDS.keys() - NOT_HERE.keys()


def notifiers(folder: Path) -> list[str]:
    """Those that are installed, each with a receiver that is not there, and a secret where it takes one."""
    password = folder / "notifier-password"
    candidates = {
        "log": "log:",
        "smtp": f"smtp://canary@127.0.0.1:9/?from=a@b.example&to=c@d.example&password-source=file:{password}",
        "syslog+tcp": "syslog+tcp://127.0.0.1:9",
        "webhook+https": f"webhook+https://127.0.0.1:9/?allow-private=yes&secret-source=file:{password}",
    }
    there = {scheme for scheme in assembly.plugins().notifiers.registrations if scheme in candidates}
    return [url for scheme, url in candidates.items() if scheme in there]


@pytest.fixture
def inputs(tmp_path: Path) -> abc.Mapping[str, Path]:
    """The files in which the secrets are given; they alone may hold them."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    contents = {
        "fields": json.dumps({"Password": CREDENTIAL}),
        "password": CREDENTIAL,
        "credentials": f"application,user,external_user,Password\nSAP,anna,ANNA,{OTHER_CREDENTIAL}\n",
        "passphrase": PASSPHRASE,
        "key-store": KEY_STORE_PASSPHRASE,
        "notifier-password": NOTIFIER_PASSWORD,
    }
    for name, content in contents.items():
        path = folder / name
        path.write_text(content, "utf-8")
        path.chmod(0o600)
    return {name: folder / name for name in contents}


@pytest.fixture
def site(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Site]:
    made = Site(tmp_path, keysvc)
    yield made
    made.end()


def test_no_command_writes_a_secret_anywhere(
    site: Site, tmp_path: Path, inputs: abc.Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [*logging.getLogger().handlers])  # commands add theirs
    key_store = f"file://{tmp_path}/key-store?unlock=passphrase&passphrase-source=file:{inputs['key-store']}"
    backup = ("--backup", tmp_path / "first.age", "--passphrase-file", inputs["passphrase"])
    began = site.init("--key-store", key_store, *backup)
    written = {"init": f"{began.out}{began.err}".encode()}
    serving = site.serve()
    folder = tmp_path / "made"
    folder.mkdir()
    places = {**inputs, "folder": folder, "backup": tmp_path / "second.age", "secret": NOTIFIER_PASSWORD}
    succeeded = set()
    for command, arguments in COMMANDS.items():
        given = [argument.format_map(places) for argument in arguments]
        ended = CliRunner().invoke(
            app,
            ["--config", str(site.machine.config), *command.split(), *given],
            input=f"{PASSPHRASE}\n",
            env={"KEYSVC_PASSPHRASE": PASSPHRASE, "COLUMNS": "200"},
        )
        shown = traceback.format_exception(ended.exception) if ended.exception else []
        hint = str(getattr(ended.exception, "hint", ""))
        written[command] = ended.output.encode() + "".join(shown).encode() + hint.encode()
        if ended.exit_code == 0:
            succeeded.add(command)
        if command == "app create":
            site("app", "create", "Bags", "--type", "config-store", "--masked", "Password", "--enable", ok=None)
    assert {"credential set", "credential get", "credential import", "secret backup", "config-store set"} <= succeeded
    written["processes"] = Path(f"/proc/{serving.popen.pid}/cmdline").read_bytes()
    cores = Path(f"/proc/{serving.popen.pid}/limits").read_text("ascii")
    settings = config.load(site.machine.config)
    opened = assembly.open_key_store(settings, lambda _what: SecretText(KEY_STORE_PASSPHRASE))
    masters = [opened.unseal(version).material.reveal() for version in opened.versions()]
    opened.close()
    site.end()
    written |= files_below(tmp_path, tmp_path / "inputs")
    assert masters
    assert leaks(written, [*SECRETS, *masters]) == []
    assert any(line.split()[4:6] == ["0", "0"] for line in cores.splitlines() if line.startswith("Max core file size"))


def test_no_notifier_writes_its_secret(site: Site, tmp_path: Path, inputs: abc.Mapping[str, Path]) -> None:
    site.init("--no-backup")
    config.change(site.machine.config, {"notifiers": tuple(notifiers(inputs["password"].parent))})
    site.serve()
    tried = site("notify", "test", ok=None)
    listed = site("notify", "list", "--json", ok=None)
    eventually(lambda: "log" in listed.out + tried.out + tried.err)
    shown = {"test": (tried.out + tried.err).encode(), "list": (listed.out + listed.err).encode()}
    site.end()
    assert leaks(shown | files_below(tmp_path, tmp_path / "inputs"), SECRETS) == []


# -- operations ----------------------------------------------------------------------------------------------------

SECRET_MEMBERS = {"fields", "password", "ticket", "token", "secret", "properties", "sealed", "files"}
PLAIN_MEMBERS = {
    "administrator_accounts", "administrators", "affiliate", "application", "audit_changes",
    "audit_credential_lookups", "audit_deleted_applications", "audit_deleted_mappings", "audit_members", "contact",
    "created_at", "credential_cache_minutes", "description", "dry_run", "enable", "enabled", "event_id",
    "external_user", "flags", "instance", "kem", "label", "max_rows_per_second", "name", "negative", "notifier",
    "paused", "positive", "public_key", "reminder", "request", "role", "sender", "ticket_timeout_minutes", "type",
    "user", "user_accounts", "versions",
}  # fmt: skip
UNKNOWN = b"unknown-"
AGENT = agent_app.operations(None)  # type: ignore[arg-type]  # nothing is asked of it
MASTER = master_app.MasterOperations(None, None, None).all()  # type: ignore[arg-type]


def marked(operation: Operation[Any, Any]) -> abc.Iterator[bytes]:
    """Bodies with the secret where one belongs, where none does, and in what is no body."""
    example = operation.example or EXAMPLES.get(operation.content)
    if example is not None:
        body = msgspec.to_builtins(example, enc_hook=reveal_secret)
        for member in SECRET_MEMBERS & body.keys():
            body[member] = {"Password": CREDENTIAL} if isinstance(body[member], dict) else CREDENTIAL
        yield json.dumps(body).encode()
        for member in body:
            yield json.dumps({**body, member: [CREDENTIAL]}).encode()
        yield json.dumps({**body, UNKNOWN.decode() + CREDENTIAL: CREDENTIAL}).encode()
    yield f'{{"password": "{CREDENTIAL}'.encode()
    yield CREDENTIAL.encode()


def test_every_member_of_a_request_is_known_to_be_secret_or_not() -> None:
    kinds = {operation.content for operation in (*AGENT, *MASTER)} - {NoContent}
    members = {field.encode_name for kind in kinds for field in msgspec.structs.fields(kind)}
    assert members <= SECRET_MEMBERS | PLAIN_MEMBERS
    examples = {type(operation.example) for operation in AGENT}
    assert kinds <= {*EXAMPLES, *examples}


def answers(served: Served, host: str, operations: abc.Iterable[Operation[Any, Any]]) -> dict[str, bytes]:
    """What each operation answers to each body: a refusal, or what holds no secret by its kind."""
    found = {}
    context = served.identity.client_context()
    connection = Connection(served.url, context, host, "the server")
    for operation in operations:
        path = operation.path.replace("{version}", "1").replace("{name}", "nobody")
        for number, body in enumerate(marked(operation)):
            query = "application=SAP&user=anna" if "credential" in path else f"password={CREDENTIAL}"
            answer = connection._pool.urlopen(
                operation.method,
                f"{path}?{query}",
                body=body,
                headers={"Authorization": f"Bearer {CREDENTIAL}"},
                retries=False,
            )
            if answer.status >= 300 and UNKNOWN not in body:  # the name of a member is told to whoever sent it
                found[f"{operation.method} {path} {number}"] = answer.data + str(answer.headers).encode()
    connection.close()
    return found


def test_no_operation_writes_a_secret_but_to_whom_it_belongs(
    system: System, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING, "urllib3")  # the test's own requests
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "keysvc")  # also after a command that ran in this process
    system.with_users("anna")
    system.start()
    sso, _ = system.sso()
    sso.set_credential("SAP", {"Password": CREDENTIAL}, user="anna")
    with serving_agent(system, sso, tmp_path) as served:
        written = answers(served, f"server.{'5' * 32}.keysvc.internal", AGENT)
    with serving_master(system, tmp_path) as served:
        written |= answers(served, f"master.{'5' * 32}.keysvc.internal", MASTER)
    assert len(written) > 100, "most of them are refused"
    out, err = capfd.readouterr()
    written |= {
        "log": repr([vars(record) for record in caplog.records]).encode(),
        "stdout": out.encode(),
        "stderr": err.encode(),
        **files_below(tmp_path),
    }
    assert b"refused" in written["log"]
    assert leaks(written, SECRETS) == []


# -- the search itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", forms(b"canary"))
def test_a_secret_is_found_in_any_form(form: str) -> None:
    assert leaks({"log": b"before " + forms(CREDENTIAL.encode())[form] + b" after"}, SECRETS)


def test_a_location_shows_none() -> None:
    assert not leaks(
        {"shown": str(Location.parse(f"smtp://u:{CREDENTIAL}@h/?password={CREDENTIAL}")).encode()}, SECRETS
    )
