"""The pages for operators are typed as they are printed, and their figures are those that were measured."""

from __future__ import annotations

import os
import re
import shlex
from collections import abc
from pathlib import Path

import pytest
from sites import Site
from systems import Keysvc, eventually
from typed_pages import fits, typed

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs/how-to"


def section(page: str, heading: str) -> str:
    return (HOW_TO / page).read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.fixture
def site(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Site]:
    """A system with one credential, as the pages assume it."""
    made = Site(tmp_path, keysvc)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n", "utf-8")
    passphrase.chmod(0o600)
    made.init("--backup", tmp_path / "first.age", "--passphrase-file", passphrase)
    made.serve()
    made("app", "create", "SAP", "--enable")
    made("mapping", "set", "SAP", "anna", "AWEBER", "--enable")
    made("credential", "set", "SAP", "anna", "--fields-file", "-", stdin='{"Password": "geheim-geheim"}')
    (tmp_path / "keysvc").symlink_to(made.machine.directory)
    yield made
    made.end()


def start(site: Site) -> None:
    """Start the master as systemd does, and wait until it serves, or says what it lacks."""
    site.running.append(site.machine.start("serve"))
    eventually(
        lambda: site.state()["state"] == "ready" or any("version 1" in what for what in site.state()["problems"])
    )


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("backup.md", "Make one, and rehearse it"),
        ("certificates.md", "Look"),
        ("enrol.md", "Tokens that nobody has redeemed"),
        ("drills.md", "A master dies"),
        ("drills.md", "A key store is lost"),
        ("drills.md", "A server is stolen"),
    ],
)
def test_a_section_works_as_printed(
    site: Site, keysvc: Keysvc, monkeypatch: pytest.MonkeyPatch, page: str, heading: str
) -> None:
    monkeypatch.chdir(site.folder)
    listening = re.search(r"127\.0\.0\.1:\d+", site.machine.config.read_text("utf-8"))
    assert listening is not None
    for command, shown in typed(section(page, heading)):
        name, *words = shlex.split(command.replace("127.0.0.1:7443", listening[0]))
        if name == "mv":
            Path(words[0]).rename(words[1])
        elif name == "systemctl" and words[0] == "start":
            start(site)
        elif name == "systemctl":
            process = site.running.pop()
            process.kill() if words[0] == "kill" else process.end()
        else:
            words, to = (words[:-2], words[-1]) if ">" in words else (words, os.devnull)
            ended = keysvc(*words, env={"KEYSVC_CONFIG": str(site.machine.config), "COLUMNS": "200"})
            assert ended.status == 0, ended.err
            Path(to).write_text(ended.out, "utf-8")
            printed = ended.err if to != os.devnull else ended.out + ended.err
            assert fits(shown, printed), printed


@pytest.mark.parametrize(
    ("shown", "printed", "fit"),
    [
        (["a … c"], "a b c\n", True),
        (["a", "…"], "a\nb\nc\n", True),
        (["a"], "a\nb\n", False),
        (["a  b"], "a b\n", True),
    ],
)
def test_what_fits(shown: list[str], printed: str, fit: bool) -> None:
    assert fits(shown, printed) is fit


def test_every_figure_of_sizing_was_measured() -> None:
    measured = (ROOT / "docs/performance.md").read_text("utf-8")
    table = (HOW_TO / "sizing.md").read_text("utf-8").partition("| measured |\n")[2].partition("\n\n")[0]
    figures = [row.strip("|").split("|")[-1].strip() for row in table.splitlines()[1:]]
    assert len(figures) >= 10
    assert [figure for figure in figures if not re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d])", measured)] == []


def test_the_table_of_alerts_has_each_with_its_severity() -> None:
    rules = (ROOT / "deploy/prometheus/keysvc.rules.yml").read_text("utf-8")
    alerts = re.findall(r"- alert: (\w+)\n.*?severity: (\w+)", rules, re.DOTALL)
    page = (HOW_TO / "alerts.md").read_text("utf-8")
    assert re.findall(r"^\| \[(\w+)\]\(#\w+\) \| (\w+) \|", page, re.MULTILINE) == alerts
