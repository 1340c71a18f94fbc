"""Moving, losing and getting back the master secret by the real command line; every credential decrypts afterwards."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections import abc
from pathlib import Path

import pytest
import terminals
from sites import Site, assert_every_credential_decrypts, with_credentials
from systems import eventually


def test_a_system_moves_into_another_key_store_and_rotates_its_root(site: Site, tmp_path: Path) -> None:
    site.init("--no-backup")
    with_credentials(site)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a passphrase of some length\n")
    passphrase.chmod(0o600)
    old = site.machine.directory / "secret"
    serving = site.serve()
    url = f"file://{tmp_path}/second?unlock=passphrase&passphrase-source=file:{passphrase}"
    assert "lease-held" in site("secret", "reseal", "--to", url, ok=False).err
    serving.end()
    done = site("secret", "reseal", "--to", url)
    assert "versions 1, 2" in done.out
    assert list(old.glob("version-*")) == []
    assert_every_credential_decrypts(site)

    rotated = f"file://{tmp_path}/third?key-file={tmp_path}/2027.key"
    site("secret", "reseal", "--to", rotated, "--keep")
    assert len(list((tmp_path / "second").glob("version-*"))) == 2
    assert site.machine.config.read_text().count(f'key_store = "{rotated}"') == 1
    assert_every_credential_decrypts(site)
    assert "secret.resealed" in site("audit", "list").out


def test_a_place_has_one_root_and_is_never_emptied_into_itself(site: Site, tmp_path: Path) -> None:
    site.init("--no-backup")
    before = site.machine.config.read_bytes()
    directory = site.machine.directory
    (tmp_path / "link").symlink_to(directory)
    for to in (
        f"file://{directory}/secret?key-file={tmp_path}/other.key",
        f"file://{tmp_path}/link/secret",
        f"file://{directory}/secret?unlock=key-file",
    ):
        assert "one place has one root" in site("secret", "reseal", "--to", to, ok=False).err
    assert site.machine.config.read_bytes() == before
    assert [path.name for path in (directory / "secret").iterdir()] == ["version-0000000001"]
    site.serve()


def test_a_second_protector_takes_every_version_and_is_proved(site: Site, tmp_path: Path) -> None:
    site.init("--no-backup")
    url = f"file://{tmp_path}/usb/keysvc?key-file={tmp_path}/safe.key"
    serving = site.serve()
    assert "lease-held" in site("secret", "protect", url, ok=False).err
    serving.end()
    assert (
        "one place has one root" in site("secret", "protect", f"file://{site.machine.directory}/secret", ok=False).err
    )
    unattended = f"file://{tmp_path}/asks?unlock=passphrase"
    assert "nobody can be asked" in site("secret", "protect", unattended, ok=False).err
    assert "recovery_key_stores" not in site.machine.config.read_text(encoding="utf-8")
    for _ in range(2):
        assert "version" in site("secret", "protect", url).out
    assert site.machine.config.read_text(encoding="utf-8").count(url) == 1

    with_credentials(site)
    assert len(list((tmp_path / "usb/keysvc").glob("version-*"))) == 2
    site.serve()
    eventually(lambda: len(site.state()["protectors"]) == 2)
    versions = json.loads(site("secret", "list", "--json").out)
    assert [len(version["protectors"]) for version in versions] == [2, 2]
    assert "safe.key" in site("secret", "list").out
    assert f"version 2 opens from {url}" in site("doctor", ok=None).out

    (tmp_path / "usb").rename(tmp_path / "gone")
    refused = site("secret", "rotate", ok=False).err
    assert refused.startswith("error: key-store-unavailable: the recovery key store")
    assert site.state()["active_version"] == 2
    doctor = site("doctor", ok=None)
    assert f"BAD  {url}" in doctor.out
    (tmp_path / "gone").rename(tmp_path / "usb")
    assert "version 3 is active" in site("secret", "rotate", "--wait").out


def test_a_key_store_deleted_for_good_is_recovered_from_the_second_protector(site: Site, tmp_path: Path) -> None:
    site.init("--no-backup")
    second = f"file://{tmp_path}/second?unlock=passphrase&passphrase-source=file:{tmp_path}/passphrase"
    (tmp_path / "passphrase").write_text("a passphrase of some length\n", encoding="utf-8")
    (tmp_path / "passphrase").chmod(0o600)
    site("secret", "protect", second)
    with_credentials(site)
    directory = site.machine.directory

    (directory / "secret.key").unlink()
    assert "--to URL" in site("secret", "recover", "--from", second, ok=False).err
    shutil.rmtree(directory / "secret")
    serving = site.serve_degraded()
    assert "lease-held" in site("secret", "recover", "--from", second, ok=False).err
    serving.end()
    (tmp_path / "passphrase").write_text("another passphrase\n", encoding="utf-8")
    assert "error: seal-broken" in site("secret", "recover", "--from", second, ok=False).err
    (tmp_path / "passphrase").write_text("a passphrase of some length\n", encoding="utf-8")
    done = site("secret", "recover", "--from", second)
    assert "versions 1, 2 are sealed" in done.out
    assert "5 of today's credentials were decrypted" in done.out
    assert_every_credential_decrypts(site)

    shutil.rmtree(directory / "secret")
    (tmp_path / "second/version-0000000001").unlink()
    done = site("secret", "recover", "--from", second, "--to", f"file://{tmp_path}/third")
    assert "versions 1 were not there" in done.err
    site.serve_degraded()
    assert "geheim-4" in site("credential", "get", "SAP", "user-4", "--show").out


def test_a_key_store_deleted_for_good_is_recovered_from_three_of_five_shares(site: Site, tmp_path: Path) -> None:
    site.init("--no-backup")
    make = ("secret", "shares", "--threshold", "3", "--of", "5", "--dir", tmp_path / "sealed")
    assert "shown on a terminal alone" in site(*make, ok=False).err
    made = site(*make, "--to-files", tmp_path / "paper").out
    papers = sorted((tmp_path / "paper").iterdir())
    assert [path.stat().st_mode & 0o777 for path in papers] == [0o600] * 5
    assert "never overwrites" in site(*make, "--to-files", tmp_path / "paper", ok=False).err
    url = next(line for line in made.splitlines() if line.startswith("shares:"))
    assert "shares-needed" in site("secret", "reseal", "--to", url, ok=False).err
    site("secret", "protect", url)
    with_credentials(site)
    site.serve()
    eventually(lambda: [p["with_shares"] for p in site.state()["protectors"]] == [[], [1, 2]])
    assert "1, 2 with shares" in site("secret", "list").out
    assert "only its shares can prove it" in site("doctor", ok=None).out
    site.end()

    shutil.rmtree(site.machine.directory / "secret")
    (site.machine.directory / "secret.key").unlink()

    def recover(*chosen: Path, ok: bool = True):
        files = [word for path in chosen for word in ("--share-file", path)]
        return site("secret", "recover", "--from-shares", *files, ok=ok)

    assert "too few" in recover(*papers[:2], ok=False).err
    words = papers[2].read_text(encoding="utf-8").split()
    smudged = tmp_path / "smudged.txt"
    smudged.write_text(" ".join([*words[:9], "smudge", *words[10:]]), encoding="utf-8")
    refused = recover(papers[0], smudged, papers[4], ok=False).err
    assert f"{smudged}: word 10 is not" in refused
    assert "smudge " not in refused
    assert "5 of today's credentials were decrypted" in recover(papers[4], papers[0], papers[2]).out
    assert_every_credential_decrypts(site)


def on_a_terminal(
    site: Site, folder: Path, arguments: abc.Sequence[object], answer: abc.Callable[[str], str], status: int = 0
) -> str:
    command = [sys.executable, "-m", "keysvc", "--config", str(site.machine.config), *map(str, arguments)]
    return terminals.on_a_terminal(command, {"HOME": str(folder)}, answer, status)


def test_shares_are_shown_once_typed_back_and_typed_in_on_a_terminal(site: Site, tmp_path: Path) -> None:
    site.init("--no-backup")
    with_credentials(site)
    papers: list[str] = []
    wrong_once = iter([4])

    def holder(shown: str) -> str:
        if "Press Enter" in shown:
            found = dict(re.findall(r"(\d+) ([a-z]+)\b", shown.partition("this once.")[2]))
            papers.append(" ".join(found[str(place)] for place in range(1, 34)))
            return ""
        words = papers[-1].split()
        for place in wrong_once:
            words[place] += "x"
        return " ".join(words)

    make = ("secret", "shares", "--threshold", "2", "--of", "3", "--dir", tmp_path / "sealed")
    told = on_a_terminal(site, tmp_path, make, holder)
    assert len(set(papers)) == 3
    assert "word 5 is another" in told
    assert not any(paper in told for paper in papers)
    url = next(line for line in told.split() if line.startswith("shares:"))
    site("secret", "protect", url)
    shutil.rmtree(site.machine.directory / "secret")

    answers = iter([f"{papers[2]} more", papers[2], papers[2], papers[0]])
    told = on_a_terminal(site, tmp_path, ("secret", "recover", "--from-shares"), lambda _shown: next(answers))
    assert "these are 34" in told or "word 34 is not" in told
    assert "share 3, which was given already" in told
    assert "5 of today's credentials were decrypted" in told
    assert_every_credential_decrypts(site)


def test_a_ceremony_that_is_given_up_keeps_nothing_and_names_no_key_store(site: Site, tmp_path: Path) -> None:
    site.init("--no-backup")
    before = sorted(site.machine.directory.rglob("*"))
    asked: list[str] = []

    def leaves_before_the_second_share_is_confirmed(shown: str) -> str:
        asked.append(shown)
        if len(asked) == 1:
            return ""
        if len(asked) == 2:
            found = dict(re.findall(r"(\d+) ([a-z]+)\b", asked[0].partition("this once.")[2]))
            return " ".join(found[str(place)] for place in range(1, 34))
        return "" if len(asked) == 3 else "\x03"

    make = ("secret", "shares", "--threshold", "2", "--of", "3", "--dir", tmp_path / "sealed")
    told = on_a_terminal(site, tmp_path, make, leaves_before_the_second_share_is_confirmed, status=1)
    assert len(asked) == 4
    assert "public-key=" not in told
    assert not (tmp_path / "sealed").exists()
    assert sorted(site.machine.directory.rglob("*")) == before


def test_a_backup_is_where_the_command_says_it_is(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("passphrase").write_text("correct horse battery staple\n", encoding="utf-8")
    with_passphrase = ("--passphrase-file", tmp_path / "passphrase")
    told = site.init("--backup", "first.age", *with_passphrase).out
    site.serve()
    told += site("secret", "backup", "second.age", *with_passphrase).out
    monkeypatch.chdir("/")
    printed = re.findall(r"\S+\.age", told)
    assert {Path(path) for path in printed} == {tmp_path / "first.age", tmp_path / "second.age"}
    for path in set(printed):
        assert "decrypt" in site("secret", "rehearse", path, *with_passphrase).out
