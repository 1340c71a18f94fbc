"""The static authorizer keeps every promise of an authorizer, and says what is wrong with its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from keysvc.errors import AuthorizerUnavailable, ConfigurationError
from keysvc.plugin.loading import Plugins
from keysvc.testing import AuthorizerConformance

GROUPS = """
[groups]
'NORDWIND\\SAP Users' = ["anna", 'NORDWIND\\Accounting']
'NORDWIND\\Accounting' = ["bert", 'NORDWIND\\Loop']
'NORDWIND\\Loop' = ['NORDWIND\\accounting']
Solo = ["ANNA"]
Empty = []
"""


def open_static(path: Path):
    return Plugins(only=()).authorizers.open(f"static://{path}", pytest.fail, "5" * 32)


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    path = tmp_path / "groups.toml"
    path.write_text(GROUPS, "utf-8")
    return path


class TestStaticAuthorizer(AuthorizerConformance):
    @pytest.fixture
    def open_authorizer(self, groups):
        return lambda: open_static(groups)

    @pytest.fixture
    def members(self):
        through = {"NORDWIND\\Accounting", "NORDWIND\\SAP Users", "NORDWIND\\Loop"}
        return {"anna": {"NORDWIND\\SAP Users", "Solo"}, "bert": through}

    @pytest.fixture
    def open_blind(self, groups):
        def opened():
            authorizer = open_static(groups)
            groups.unlink()
            return authorizer

        return opened


def test_what_is_written_to_the_file_counts_at_once(groups: Path) -> None:
    authorizer = open_static(groups)
    groups.write_text("[groups]\nNew = ['anna']\n", "utf-8")
    assert list(authorizer.groups_of("anna")) == ["New"]


def test_a_file_that_was_broken_meanwhile_denies(groups: Path) -> None:
    authorizer = open_static(groups)
    groups.write_text("[groups\n", "utf-8")
    with pytest.raises(AuthorizerUnavailable, match=r"groups\.toml is no TOML"):
        authorizer.groups_of("anna")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no table"),
        ("groups = 3", "no table"),
        ("[groups]\n[people]\n", "'people' is unknown"),
        ("[groups]\nSAP = 'anna'\n", "the group 'SAP' is no list of names"),
        ("[groups]\nSAP = ['anna', 3]\n", "the group 'SAP' is no list of names"),
        ("[groups]\nSAP = ['anna', ' ']\n", "the group 'SAP' is no list of names"),
        ("[groups]\n' ' = ['anna']\n", "is no list of names"),
        ("[groups]\nSAP = ['anna'\n", "no TOML"),
        ("\udcff", "no TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_when_it_is_opened(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "groups.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError, match=what):
        open_static(path)


@pytest.mark.parametrize("url", ["static:groups.toml", "static:", "static:///not/there.toml", "static:///x?a=b"])
def test_an_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Plugins(only=()).authorizers.open(url, pytest.fail, "5" * 32)
