"""The command line as a person uses it: real processes, real TLS, the samples of an Enterprise SSO estate."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import abc
from pathlib import Path

import pytest
from sites import Site
from systems import Keysvc, eventually
from typer.testing import CliRunner

from keysvc.cli.commands import app
from keysvc.cli.demo.processes import Machine, free_port

SAMPLES = Path(__file__).parents[1] / "samples" / "entsso"
PASSPHRASE = "a passphrase of some length"


def test_the_whole_path_of_an_operator(site: Site, tmp_path: Path, keysvc: Keysvc) -> None:
    warned = site.init().err
    assert "no backup" in warned
    assert "no certificate is checked" in warned
    assert site.state()["state"] == "degraded"
    site.serve()
    assert "no backup" in site("status").err

    site("app", "import", SAMPLES / "global-info.xml")
    assert "6 created" in site("app", "import", SAMPLES / "applications.xml").out
    assert "1200 created" in site("mapping", "import", SAMPLES / "mappings.xml", "--enable").out
    assert "1200 unchanged" in site("mapping", "import", SAMPLES / "mappings.xml").out
    user = "NORDWIND\\anna.weber"
    site("mapping", "set", "SAP-PRD", user, "AWEBER", "--enable")
    site("credential", "set", "SAP-PRD", user, "--fields-file", "-", stdin='{"Password": "geheim-1"}')
    hidden = site("credential", "get", "SAP-PRD", user).out
    assert "********" in hidden
    assert "geheim-1" not in hidden
    shown = json.loads(site("credential", "get", "SAP-PRD", user, "--show", "--json").out)
    assert shown == {
        "application": "SAP-PRD",
        "user": user,
        "external_user": "AWEBER",
        "fields": {"Password": "geheim-1"},
        "version": 1,
    }

    token = site("server", "enroll", "web-01").out.strip()
    joined = tmp_path / "web-01"
    at = f"127.0.0.1:{free_port()}"
    url = site.machine.config.read_text().split('master = "')[1].split('"')[0]
    assert keysvc("join", url, "--token-file", "-", "--dir", joined, "--agent", at, stdin=token).status == 0
    assert "used" in keysvc("join", url, "--token-file", "-", "--dir", tmp_path / "again", stdin=token).err
    agent = Machine(joined, tmp_path / "logs").start("agent")
    site.running.append(agent)
    config = ("--config", joined / "keysvc.toml")
    eventually(lambda: any(s["name"] == "web-01" and s["can_encrypt"] for s in site.state()["servers"]))
    assert json.loads(keysvc(*config, "credential", "get", "SAP-PRD", user, "--json", "--show").out) == shown
    refused = keysvc(*config, "secret", "rotate")
    assert refused.status == 1
    assert "administrator" in refused.err

    assert "version 2 is active" in site("secret", "rotate", "--wait").out
    state = site.state()
    assert (state["active_version"], state["rotation"]) == (2, None)
    assert [(v["version"], v["state"], v["rows"]) for v in state["versions"]] == [(1, "retiring", 0), (2, "active", 1)]

    backup = tmp_path / "backup.age"
    given = {"KEYSVC_PASSPHRASE": PASSPHRASE}
    site("secret", "backup", backup, env=given)
    assert "1 of them were decrypted" in site("secret", "rehearse", backup, env=given).out
    assert "no backup" not in site("status").err
    site("secret", "destroy", "1", "--yes")
    site("server", "revoke", "web-01")
    eventually(lambda: "revoked" in keysvc(*config, "status").err)
    assert "version.destroyed" in site("audit", "list").out


def test_a_lost_key_store_is_said_and_restored(site: Site, tmp_path: Path) -> None:
    site.init("--backup", tmp_path / "b.age", "--passphrase-file", _file(tmp_path / "p", PASSPHRASE))
    serving = site.serve()
    site("app", "create", "SAP", "--enable")
    site("mapping", "set", "SAP", "anna", "ANNA", "--enable")
    site("credential", "set", "SAP", "anna", "--fields-file", "-", stdin='{"Password": "geheim-1"}')
    serving.end()
    shutil.rmtree(site.machine.directory / "secret")
    serving = site.machine.start("serve")
    site.running.append(serving)
    eventually(lambda: any("version 1" in problem for problem in site.state()["problems"]))
    assert (
        "lease-held" in site("secret", "restore", tmp_path / "b.age", "--passphrase-file", tmp_path / "p", ok=False).err
    )
    serving.end()
    site("secret", "restore", tmp_path / "b.age", "--passphrase-file", tmp_path / "p")
    site.serve()
    assert "geheim-1" in site("credential", "get", "SAP", "anna", "--show").out


def test_the_agent_looks_up_and_refuses_to_encrypt_while_the_master_is_dead(
    site: Site, tmp_path: Path, keysvc: Keysvc
) -> None:
    site.init("--no-backup")
    serving = site.serve()
    site("app", "create", "SAP", "--enable")
    site("mapping", "set", "SAP", "anna", "ANNA", "--enable")
    site("credential", "set", "SAP", "anna", "--fields-file", "-", stdin='{"Password": "geheim-1"}')
    made = json.loads(site("server", "enroll", "web-01", "--json").out)
    joined = tmp_path / "web-01"
    at = f"127.0.0.1:{free_port()}"
    keysvc("join", made["url"], "--token-file", "-", "--dir", joined, "--agent", at, stdin=made["token"])
    site.running.append(Machine(joined, tmp_path / "logs").start("agent"))
    config = ("--config", joined / "keysvc.toml")
    eventually(lambda: any(s["name"] == "web-01" for s in site.state()["servers"]))
    eventually(lambda: "web-01 is on https://" in site.running[-1].log.read_text(), 60)
    serving.kill()
    time.sleep(1.5)
    assert "geheim-1" in keysvc(*config, "credential", "get", "SAP", "anna", "--show").out
    refused = keysvc(*config, "credential", "set", "SAP", "anna", "--fields-file", "-", stdin='{"Password": "x"}')
    assert refused.status == 1
    assert refused.err.startswith("error: master-secret-server-unavailable: ")
    assert "keysvc serve" in refused.err
    alone = keysvc(*config, "status")
    assert (alone.status, "degraded" in alone.out) == (1, True), "no master is active"


def test_before_init_every_command_says_what_to_do_first(keysvc: Keysvc, tmp_path: Path) -> None:
    commands = [
        ("status",),
        ("serve",),
        ("agent",),
        ("doctor",),
        ("secret", "list"),
        ("secret", "rotate"),
        ("secret", "backup", "x"),
        ("secret", "rehearse", "x"),
        ("secret", "restore", "x"),
        ("secret", "destroy", "1"),
        ("secret", "reseal", "--to", "x"),
        ("secret", "protect", "x"),
        ("secret", "recover", "--from", "x"),
        ("secret", "shares", "--threshold", "2", "--of", "3", "--dir", "x"),
        ("app", "list"),
        ("app", "create", "X"),
        ("mapping", "list", "X"),
        ("mapping", "set", "X", "y", "z"),
        ("credential", "get", "X", "y"),
        ("credential", "set", "X", "y", "--fields-file", "-"),
        ("server", "enroll", "x"),
        ("server", "list"),
        ("audit", "list"),
    ]
    for command in commands:
        done = keysvc(*command, env={"KEYSVC_CONFIG": str(tmp_path / "none.toml")})
        assert done.status == 1, command
        assert done.err.startswith("error: not-configured: "), (command, done.err)
        assert "keysvc init --dir DIR" in done.err
        assert done.err.count("\n") == 1


def test_a_port_in_use_is_one_clear_line(site: Site) -> None:
    site.init("--no-backup")
    site.serve()
    assert "in use" in site("serve", ok=False).err


def test_init_twice_is_refused_and_changes_nothing(site: Site, keysvc: Keysvc) -> None:
    site.init("--no-backup")
    before = {path: path.read_bytes() for path in site.machine.directory.rglob("*.pem")}
    done = keysvc("init", "--dir", site.machine.directory)
    assert (done.status, done.err.split(":")[1]) == (1, " already-configured")
    assert before == {path: path.read_bytes() for path in before}


def test_an_init_that_was_refused_can_be_repeated_corrected(keysvc: Keysvc, tmp_path: Path) -> None:
    for wrong, code in (
        (("--key-store", "floppy:a"), "unknown-scheme"),
        (("--mapping-store", "file:///x"), "unknown-scheme"),
        (("--listen", "nowhere"), "configuration"),
        (("--poll-interval", "soon"), "configuration"),
        (("--key-store", "file:///dev/null/secret"), "key-store-unavailable"),
        (("--mapping-store", "sqlite:////dev/null/keysvc.db"), "mapping-store-unavailable"),
    ):
        done = keysvc("init", "--dir", tmp_path / "d", *wrong)
        assert (done.status, done.err.split(": ")[1]) == (1, code), done.err
    assert keysvc("init", "--dir", tmp_path / "d", "--no-backup").status == 0


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("broken-*.xml")), ids=lambda path: path.stem)
def test_broken_xml_is_refused_whole_with_its_line(site: Site, sample: Path) -> None:
    site.init("--no-backup")
    site("app", "import", SAMPLES / "applications.xml")
    before = site("mapping", "list", "SAP-PRD", "--json").out, site("app", "list", "--json").out
    group = "mapping" if "mapping" in sample.read_text(encoding="utf-8") else "app"
    done = site(group, "import", sample, ok=False)
    assert done.err.startswith("error: invalid-input: ")
    assert "line" in done.err
    assert before == (site("mapping", "list", "SAP-PRD", "--json").out, site("app", "list", "--json").out)


def test_a_stopped_reader_of_a_long_list_is_no_error(site: Site) -> None:
    site.init("--no-backup")
    site("app", "import", SAMPLES / "applications.xml")
    site("mapping", "import", SAMPLES / "mappings.xml")
    command = [sys.executable, "-m", "keysvc", "--config", str(site.machine.config), "mapping", "list", "SAP-PRD"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        listing.stdout.readline()
        listing.stdout.close()
        assert b"Traceback" not in listing.stderr.read()


def test_a_damaged_configuration_names_the_file_and_the_setting(site: Site) -> None:
    site.init("--no-backup")
    good = site.machine.config.read_text()
    for bad, word in (
        (good + "colour = 'red'\n", "colour"),
        (good.replace('poll_interval = "500ms"', 'poll_interval = "soon"'), "poll_interval"),
        ("[\n" + good, "line 1"),
    ):
        site.machine.config.write_text(bad)
        done = site("status", ok=False)
        assert done.err.startswith("error: configuration: ")
        assert word in done.err


def test_a_peer_without_certificate_reaches_only_what_lets_it_join(site: Site) -> None:
    import ssl

    import urllib3

    site.init("--no-backup")
    site.serve()
    url = site.machine.config.read_text().split('master = "')[1].split('"')[0]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    urllib3.disable_warnings()
    pool = urllib3.PoolManager(ssl_context=context, assert_hostname=False, retries=False)
    for method, path in (
        ("GET", "/v1/poll?instance=1"),
        ("POST", "/v1/versions/1"),
        ("DELETE", "/v1/versions/1"),
        ("GET", "/v1/status"),
        ("POST", "/v1/rotations"),
        ("POST", "/v1/backups"),
        ("POST", "/v1/enrolments"),
        ("GET", "/v1/identities"),
        ("DELETE", "/v1/identities/administrator"),
        ("POST", "/v1/goodbye"),
    ):
        assert pool.request(method, url + path).status == 403, path
    assert pool.request("GET", url + "/v1/authority").status == 200
    assert pool.request("POST", url + "/v1/join", body=b"{}").status == 400
    assert pool.request("GET", url + "/nothing").status == 404
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    old = urllib3.PoolManager(ssl_context=context, assert_hostname=False, retries=False)
    with pytest.raises(urllib3.exceptions.HTTPError):
        old.request("GET", url)


def test_an_idle_connection_does_not_keep_others_out(site: Site) -> None:
    site.init("--no-backup")
    site.serve()
    port = int(site.machine.config.read_text().split('listen = "127.0.0.1:')[1].split('"')[0])
    with contextlib.ExitStack() as idle:
        for _ in range(50):
            idle.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert site.state()["state"] == "ready"


def test_a_master_that_gets_sigterm_releases_its_lease(site: Site) -> None:
    site.init("--no-backup")
    serving = site.serve()
    serving.popen.send_signal(signal.SIGTERM)
    assert serving.popen.wait(timeout=20) == 0
    assert site.state()["master"] is None


def test_every_command_has_help_with_an_example() -> None:
    def commands(*path: str) -> abc.Iterator[tuple[tuple[str, ...], str]]:
        shown = CliRunner().invoke(app, [*path, "--help"]).output
        listed = shown.partition("Commands:")[2]
        names = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "]
        if not names:
            yield path, shown.partition("\n")[2]
        for name in names:
            yield from commands(*path, name)

    found = list(commands())
    assert len(found) > 25
    for path, shown in found:
        assert re.search(rf"keysvc( --config \S+)? {' '.join(path)}\b", shown), path


def _file(path: Path, text: str) -> Path:
    path.write_text(text + "\n", encoding="utf-8")
    return path
