"""The configuration file is changed by keysvc as carefully as by its author."""

from __future__ import annotations

import errno
import os
import pwd
import socket
import stat
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from keysvc.errors import ConfigurationError, NotConfigured
from keysvc.installation import config
from keysvc.model import utc_now

WRITTEN = """# ours, not yours
system_id = "55555555555555555555555555555555"
mapping_store = "sqlite:///keysvc.db"   # on the fast disk
master = "https://127.0.0.1:7443"
notifiers = [
  "log:",  # one
]
key_store = "file:///var/lib/secret"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "keysvc.toml"
    made.write_text(WRITTEN)
    made.chmod(0o640)
    return made


def test_a_setting_is_replaced_and_every_other_line_and_the_mode_stay(path: Path) -> None:
    found = config.change(path, {"key_store": 'file:///other?a="b"'})
    assert found.key_store == 'file:///other?a="b"'
    assert path.read_text(encoding="utf-8").splitlines()[:-1] == WRITTEN.splitlines()[:-1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_mode_stays_whatever_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        config.change(path, {"key_store": "file:///other"})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another account")
def test_the_owner_stays_when_root_changes_the_file_of_a_service(path: Path) -> None:
    os.chown(path, 12345, 12346)
    config.change(path, {"key_store": "file:///other"})
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


def test_a_list_over_several_lines_is_replaced_whole(path: Path) -> None:
    assert config.change(path, {"notifiers": ("a:", "b:")}).notifiers == ("a:", "b:")
    assert path.read_text(encoding="utf-8") == WRITTEN.replace('[\n  "log:",  # one\n]', '["a:", "b:"]')


def test_a_setting_is_added_and_taken_out_again(path: Path) -> None:
    assert config.change(path, {"resealed_from": "file:///old"}).resealed_from == "file:///old"
    assert config.change(path, {"resealed_from": None}).resealed_from is None
    assert path.read_text(encoding="utf-8") == WRITTEN


def test_a_file_that_cannot_be_changed_line_by_line_is_left_as_it_was(path: Path) -> None:
    tricky = WRITTEN.replace('key_store = "file:///var/lib/secret"', '"key_store" = "file:///var/lib/secret"')
    path.write_text(tricky, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot change"):
        config.change(path, {"key_store": "file:///other"})
    assert path.read_text(encoding="utf-8") == tricky


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    config.change(link, {"key_store": "file:///other"})
    assert link.is_symlink()
    assert config.load(path).key_store == "file:///other"


def test_rotations_by_themselves_are_a_dotted_key_or_a_table(path: Path) -> None:
    assert config.load(path).rotate_every is None
    for written in ('rotation.every = "90d"\n', '[rotation]\nevery = "90d"\n'):
        path.write_text(WRITTEN + written, encoding="utf-8")
        assert config.load(path).rotate_every == timedelta(days=90)


@pytest.mark.parametrize("every", ["30s", "soon", "-1d"])
def test_a_rotation_all_the_time_or_never_is_refused(path: Path, every: str) -> None:
    path.write_text(f'{WRITTEN}rotation.every = "{every}"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"rotation\.every"):
        config.load(path)


def test_a_setting_is_added_before_the_first_table(path: Path) -> None:
    path.write_text(f'{WRITTEN}\n[rotation]  # four a year\nevery = "90d"\n', encoding="utf-8")
    found = config.change(path, {"resealed_from": "file:///old", "key_store": "file:///new"})
    assert (found.resealed_from, found.key_store, found.rotate_every) == (
        "file:///old",
        "file:///new",
        timedelta(days=90),
    )
    assert path.read_text(encoding="utf-8").endswith('\n[rotation]  # four a year\nevery = "90d"\n')


HUGE = "9" * 400


@pytest.mark.parametrize(
    "text", [f"{HUGE}d", "99999999d", "1e9s", "²s", "٣s", "-1s", "nan", "infs", f"0.{HUGE}s", "36501d", ""]
)
def test_what_is_no_duration_is_one_error_that_names_the_setting(text: str) -> None:
    with pytest.raises(ConfigurationError, match="poll_interval = "):
        config.duration("poll_interval", text)


def test_the_longest_duration_leads_to_a_time_that_can_be_written() -> None:
    assert utc_now() + config.duration("x", "36500d") > utc_now()


@pytest.mark.parametrize("text", ["h:65536", "h:²", "h:٣", f"h:{HUGE}", "h:-1", "h:", ":1", "h:1e3", "h: 1"])
def test_what_is_no_port_is_one_error_that_names_the_setting(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not HOST:PORT"):
        config.host_and_port("listen", text)


# -- where it cannot be changed --------------------------------------------------------------------------------------


def test_a_configuration_that_cannot_be_replaced_is_refused_before_anything_is_done(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_paths: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    config.require_changeable(path)
    assert path.read_text(encoding="utf-8") == WRITTEN
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(ConfigurationError, match="cannot be replaced") as caught:
        config.require_changeable(path)
    assert "nothing was changed" in str(caught.value.hint)
    with pytest.raises(ConfigurationError) as caught:
        config.change(path, {"key_store": "file:///new?password=geheim", "resealed_from": None})
    assert "write into it by hand" in str(caught.value.hint)
    assert "file:///new" in str(caught.value.hint)
    assert "geheim" not in str(caught.value.hint)
    assert path.read_text(encoding="utf-8") == WRITTEN
    assert list(path.parent.iterdir()) == [path]


def test_an_account_without_a_home_is_told_to_name_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "KEYSVC_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody(_user: int) -> object:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(NotConfigured, match="no home directory") as caught:
        config.load()
    assert "KEYSVC_CONFIG" in str(caught.value.hint)


# -- the name that others are told -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["localhost", "localhost.localdomain", "127.0.0.1", "::1", "localhost6", "a.localhost"]
)
def test_a_machine_that_listens_on_every_address_is_not_called_by_a_name_that_everybody_is(
    monkeypatch: pytest.MonkeyPatch, path: Path, name: str
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: name)
    with pytest.raises(ConfigurationError, match="others cannot reach") as caught:
        config.url_of("0.0.0.0:7443")
    assert "advertise" in str(caught.value.hint)
    assert config.url_of("127.0.0.1:7443") == "https://127.0.0.1:7443"
    host = f"[{name}]" if ":" in name else name
    path.write_text(f'{WRITTEN}listen = "[::]:7443"\nadvertise = "https://{host}:7443"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="every machine itself"):
        config.load(path)


def test_a_machine_that_has_a_name_is_called_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: "master-1.nordwind.example")
    assert config.url_of("[::]:7443") == "https://master-1.nordwind.example:7443"


@pytest.mark.parametrize(
    ("before", "after", "message", "hint"),
    [
        ("key_store =", "key_stroe =", "line 8: there is no setting 'key_stroe'", "did you mean key_store?"),
        ('"log:"', '{ url = "log:", naame = "x" }', "line 6: there is no setting 'naame'", "did you mean name?"),
        ("key_store =", "frobnicate =", "line 8: there is no setting 'frobnicate'", "configuration.md lists"),
        ('"https://127.0.0.1:7443"', "7", "line 4: Expected", ""),
    ],
)
def test_a_wrong_setting_is_told_with_its_line_and_what_was_meant(
    path: Path, before: str, after: str, message: str, hint: str
) -> None:
    path.write_text(WRITTEN.replace(before, after), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message) as caught:
        config.load(path)
    assert hint in caught.value.hint


def test_a_misspelt_setting_of_a_table_is_told_with_its_line(path: Path) -> None:
    path.write_text(f'{WRITTEN}\n[rotation]\n# every\nevrey = "90d"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="line 12: there is no setting 'evrey'") as caught:
        config.load(path)
    assert caught.value.hint == "did you mean every?"


@pytest.mark.parametrize(
    ("table", "misspelt", "meant"),
    [("[log]", "formta", "format"), ("[[unit_credentials]]", "aplicatoin", "application")],
)
def test_what_was_meant_is_found_in_every_table(path: Path, table: str, misspelt: str, meant: str) -> None:
    path.write_text(f'{WRITTEN}\n{table}\n{misspelt} = "x"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"there is no setting '{misspelt}'") as caught:
        config.load(path)
    assert caught.value.hint == f"did you mean {meant}?"


def test_every_table_of_the_file_is_known_where_a_setting_is_misspelt() -> None:
    tables = {each for each in vars(config).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)}
    assert set(config.TABLES) == tables
