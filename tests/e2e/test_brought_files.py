"""Commands that read files which people and spreadsheets wrote: what is not named stays, and what is lost is listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sites import Site

SAMPLES = Path(__file__).parents[1] / "samples/trials"
GINA = "NORDWIND\\gina"
MARK = b"\xef\xbb\xbf"


@pytest.fixture
def with_gina(site: Site) -> Site:
    site.init("--no-backup")
    site.serve()
    site("app", "create", "SAP", "--masked", "Password", "--masked", "PIN", "--enable")
    site("credential", "import", SAMPLES / "06-0-first.csv")
    return site


def fields(site: Site) -> dict[str, str]:
    return json.loads(site("credential", "get", "SAP", GINA, "--json", "--show").out)["fields"]


def test_a_command_and_a_file_change_the_fields_that_they_name(with_gina: Site, tmp_path: Path) -> None:
    site = with_gina
    for given in ("{}", '{"password": ""}'):
        site("credential", "set", "SAP", GINA, "--fields-file", "-", stdin=given)
    site("credential", "import", SAMPLES / "06-2-no-password-column.csv")
    assert fields(site) == {"Password": "secret1", "PIN": "42"}
    path = tmp_path / "fields.json"
    path.write_bytes(MARK + b'{"password": "secret2"}')
    site("credential", "set", "SAP", GINA, "--fields-file", path)
    assert fields(site) == {"Password": "secret2", "PIN": "42"}
    site("credential", "set", "SAP", GINA, "--fields-file", path, "--replace")
    assert fields(site) == {"Password": "secret2"}


def test_a_dry_run_lists_the_values_that_would_be_lost(with_gina: Site) -> None:
    site = with_gina
    lists = site("credential", "import", SAMPLES / "06-2-no-password-column.csv", "--replace", "--dry-run").out
    assert f"would be lost: SAP / {GINA}: Password is deleted" in lists.splitlines()
    assert fields(site) == {"Password": "secret1", "PIN": "42"}
