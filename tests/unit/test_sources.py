"""A part's secret comes from where its URL says."""

from __future__ import annotations

import pytest

from keysvc.errors import ConfigurationError
from keysvc.model import SecretText
from keysvc.plugin.location import Location
from keysvc.plugin.secret_sources import sourced


def ask(url: str, what: str = "password") -> str:
    return sourced(Location.parse(url), lambda _: SecretText("asked"))(what).reveal()


def test_it_is_the_first_line_of_a_file(tmp_path):
    (tmp_path / "password").write_text("päss word \r\nmore\n", encoding="utf-8")
    assert ask(f"x://h?password-source=file:{tmp_path}/password") == "päss word "
    assert ask(f"x://h?password-source=file://{tmp_path}/password") == "päss word "


def test_or_an_environment_variable(monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    assert ask("x://h?password-source=env:DATABASE_PASSWORD") == "secret"


def test_or_a_credential_that_systemd_gives_the_unit(monkeypatch, tmp_path):
    (tmp_path / "database").write_text("secret\n", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert ask("x://h?password-source=credential:database") == "secret"


@pytest.mark.parametrize("name", ["..", "../database", "/etc/passwd"])
def test_a_credential_is_a_name_and_no_path(monkeypatch, tmp_path, name):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    (tmp_path / "database").write_text("secret\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="systemd gave this process none of that name"):
        ask(f"x://h?password-source=credential:{name}")


def test_without_a_source_the_operator_is_asked():
    assert ask("x://h?pin-source=env:X") == "asked"


@pytest.mark.parametrize(
    "source", ["", "secret", "file:", "env:", "env:NOT_SET_ANYWHERE", "file:/not/there", "credential:", "credential:x"]
)
def test_a_source_that_gives_nothing_is_an_error_that_names_it_and_holds_no_secret(source):
    with pytest.raises(ConfigurationError, match="password"):
        ask(f"x://h?password-source={source}")


def test_where_a_secret_is_may_be_shown_but_not_a_secret():
    shown = str(Location.parse("x://h/d?password-source=file:/etc/p&password=hunter2&key-file=/k"))
    assert ("file:/etc/p" in shown, "/k" in shown, "hunter2" in shown) == (True, True, False)


@pytest.mark.parametrize("url", ["x://u:s3/cret@h/d", "x://u:s3#cret@h/d", "x://u:s3@cret@h/d"])
def test_a_password_that_is_not_percent_encoded_is_refused_and_not_shown(url):
    with pytest.raises(ConfigurationError, match="percent-encoded") as caught:
        Location.parse(url)
    assert "cret" not in f"{caught.value}{caught.value.hint}"
