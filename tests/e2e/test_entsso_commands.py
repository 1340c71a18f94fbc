"""What an administrator does who comes from Enterprise SSO."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyrage
import pytest
from sites import Site
from systems import Keysvc

from keysvc.crypto import age
from keysvc.model import SecretText

SAMPLES = Path(__file__).parents[1] / "samples/entsso"
GOOD = ("applications.xml", "global-info.xml", "mappings-delete.xml", "mappings.xml")


@pytest.fixture
def site(tmp_path: Path, keysvc: Keysvc):
    made = Site(tmp_path, keysvc)
    made.init("--no-backup")
    yield made
    made.end()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "from entsso"
    made.mkdir()
    for name in GOOD:
        shutil.copy(SAMPLES / name, made / name)
    return made


def applications(site: Site) -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in json.loads(site("app", "list", "--json").out)}


def test_the_samples_come_in_by_one_command_are_listed_edited_and_go_out_as_the_same_xml(
    site: Site, folder: Path, tmp_path: Path
) -> None:
    tried = json.loads(site("import-entsso", folder, "--dry-run", "--json").out)
    assert [each["imported"]["created"] for each in tried["files"]] == [0, 6, 1200]
    assert applications(site) == {}
    said = site("import-entsso", folder).out
    assert "left out" in said
    assert "keysvc credential import" in said
    assert len(applications(site)) == 6
    assert len(json.loads(site("mapping", "list", "SAP-PRD", "--json").out)) == 700
    again = json.loads(site("import-entsso", folder, "--delete", "mappings-delete.xml", "--json").out)
    assert [list(each["imported"].values()) for each in again["files"]] == [
        [0, 0, 1, 0],
        [0, 0, 6, 0],
        [0, 0, 1200, 0],
        [0, 0, 0, 25],
    ]

    site("system", "disable")
    assert "keysvc system enable" in site("status", ok=None).err
    for changing in (["import-entsso", folder], ["app", "set", "SAP-PRD", "--contact", "x"]):
        assert site(*changing, ok=False).err.startswith("error: system-disabled")
    site("system", "enable")
    assert json.loads(site("system", "show", "--json").out)["settings"]["enabled"]

    site("app", "set", "SAP-PRD", "--contact", "new@nordwind.example", "--flag", "allowTickets=no")
    assert site("app", "set", "SAP-PRD", "--flag", "adminAccountSame", ok=False).err.startswith("error: invalid-input")
    assert "sets no flag" in site("app", "set", "SAP-PRD", "--flag", "allowTicket=no", ok=False).err
    out = tmp_path / "out"
    site("export-entsso", out)
    assert "exists" in site("export-entsso", out, ok=False).err
    site("export-entsso", out, "--force")
    assert sorted(path.name for path in out.iterdir()) == ["applications.xml", "global-info.xml", "mappings.xml"]
    written = (out / "applications.xml").read_text("utf-8")
    assert written.count("new@nordwind.example") == 1
    unchanged = json.loads(site("import-entsso", out, "--json").out)
    assert [list(each["imported"].values()) for each in unchanged["files"]] == [
        [0, 0, 1, 0],
        [0, 0, 6, 0],
        [0, 0, 1175, 0],
    ]


def test_a_folder_with_one_broken_file_is_refused_whole_with_file_line_and_reason(site: Site) -> None:
    refused = site("import-entsso", SAMPLES, ok=False).err
    unreadable = ("broken-entity-bomb.xml", "broken-no-userid-field.xml", "broken-truncated.xml")
    assert refused.startswith("error: invalid-input: 3 faults: ")
    assert refused.count("\n") == 1
    for name in unreadable:
        assert f"{SAMPLES}/{name} line " in refused
    assert applications(site) == {}


def test_a_folder_without_files_is_refused(site: Site, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no *.xml file" in site("import-entsso", tmp_path / "empty", ok=False).err


def test_a_host_asks_by_external_user_with_the_password_of_its_user(site: Site, tmp_path: Path) -> None:
    site.serve()
    site("app", "create", "HOST", "--type", "host-group", "--user-account", "D\\batch", "--enable")
    site("mapping", "set", "HOST", "D\\batch", "JOB17", "--enable")
    site("credential", "set", "HOST", "JOB17", "--fields-file", "-", stdin=json.dumps({"Password": "geheim"}))
    for password, ok in (("geheim", True), ("wrong", False)):
        (tmp_path / "password").write_text(f"{password}\n")
        asked = ("credential", "lookup", "HOST", "JOB17", "--json", "--password-file", tmp_path / "password")
        answered = site(*asked, ok=ok)
        assert "geheim" not in answered.out + answered.err
        if ok:
            assert json.loads(answered.out)["user"] == "D\\batch"
        else:
            assert answered.err.startswith("error: access-denied: HOST refuses JOB17 with that password")
    assert "--password-file" in site("credential", "lookup", "HOST", "JOB17", ok=False).err


def test_credentials_come_in_from_a_file_and_nothing_ever_shows_one(site: Site, tmp_path: Path) -> None:
    site.serve()
    site("app", "create", "SAP", "--enable")
    secret = "S3cret!"
    good = f"application,user,external_user,Password\nSAP,anna,ANNA,{secret}1\nSAP,bert,BERT,{secret}2\n"
    plain, broken, sealed, for_key = (tmp_path / name for name in ("c.csv", "broken.csv", "c.csv.age", "key.age"))
    plain.write_text(good)
    broken.write_text(f"{good}NONE,anna,ANNA,{secret}3\n")
    sealed.write_bytes(age.encrypt(good.encode(), SecretText("open sesame"), work_factor=4))
    key = pyrage.x25519.Identity.generate()
    for_key.write_bytes(pyrage.encrypt(good.encode(), [key.to_public()]))
    (tmp_path / "key").write_text(f"{key}\n")
    (tmp_path / "passphrase").write_text("open sesame\n")

    said = [
        refused := site("credential", "import", broken, ok=False),
        site("credential", "import", sealed, ok=False, env={"KEYSVC_PASSPHRASE": "open barley"}),
        site("credential", "import", sealed, "--passphrase-file", tmp_path / "passphrase", "--dry-run"),
        tried := site("credential", "import", "-", "--dry-run", "--json", stdin=good),
        site("credential", "import", sealed, "--passphrase-file", tmp_path / "passphrase"),
        again := site("credential", "import", for_key, "--key", tmp_path / "key", "--json"),
        site("credential", "import", plain),
        site("audit", "list"),
    ]
    assert refused.err.startswith(f"error: invalid-input: {broken} line 4: there is no application NONE")
    assert json.loads(tried.out)["applications"] == {"SAP": {"created": 2, "updated": 0, "unchanged": 0}}
    assert json.loads(again.out)["applications"] == {"SAP": {"created": 0, "updated": 0, "unchanged": 2}}
    assert all(secret not in each.out + each.err and "sesame" not in each.out + each.err for each in said)
    assert secret.encode() not in b"".join(path.read_bytes() for path in site.folder.rglob("*.db*"))
    assert all(secret not in path.read_text() for path in (site.folder / "logs").iterdir())
    assert f"{secret}2" in site("credential", "get", "SAP", "bert", "--show").out
