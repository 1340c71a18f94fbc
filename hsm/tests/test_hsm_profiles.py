"""The profiles of tokens have one form, and no fact without a source."""

from __future__ import annotations

import tomllib
from collections import abc
from pathlib import Path
from typing import Any

import pytest

PROFILES = sorted((Path(__file__).parents[1] / "profiles").glob("*.toml"))
FORM = {
    "name": str,
    "vendor": str,
    "kind": {"software", "hardware", "cloud", "gateway"},
    "suite": {"result": str, "source": str},
    "module": {"paths": list, "source": str},
    "mechanisms": {
        **dict.fromkeys(
            ("AES_GCM", "AES_KEY_WRAP_PAD", "AES_CBC_PAD", "SHA256_HMAC"), frozenset({"yes", "no", "vendor", "unknown"})
        ),
        "source": str,
    },
    "gcm_iv": {
        "made_by": {"caller", "device", "device or caller", "nobody", "unknown"},
        "note": str,
        "source": str,
    },
    "sessions": {"limit": str, "source": str},
    "pin": {"lock": str, "source": str},
    "traps": [{"what": str, "source": str}],
}

each_profile = pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)


def differences(value: Any, form: Any, where: str) -> abc.Iterator[str]:
    """Where a value is not of the form: a table, a list of tables, a set of words, or a type."""
    if isinstance(form, dict):
        if not isinstance(value, dict) or value.keys() != form.keys():
            yield f"{where}: the keys are not {', '.join(form)}"
            return
        for key in form:
            yield from differences(value[key], form[key], f"{where}.{key}")
    elif isinstance(form, list):
        for number, item in enumerate(value):
            yield from differences(item, form[0], f"{where}[{number}]")
    elif isinstance(form, (set, frozenset)):
        if value not in form:
            yield f"{where}: {value} is not one of {', '.join(sorted(form))}"
    elif not isinstance(value, form):
        yield f"{where}: {value!r} is no {form.__name__}"


def without_source(profile: abc.Mapping[str, Any]) -> abc.Iterator[str]:
    """Tables that state something and do not say who says so."""
    for name, table in profile.items():
        for part in table if isinstance(table, list) else [table]:
            if isinstance(part, dict) and not part["source"]:
                facts = {str(value) for key, value in part.items() if key not in {"source", "note"}}
                if facts - {"unknown", "not run", "[]"}:
                    yield f"{name}: {facts}"


def test_there_are_profiles() -> None:
    assert len(PROFILES) == 13


@each_profile
def test_a_profile_has_the_form(path: Path) -> None:
    assert list(differences(tomllib.loads(path.read_text("utf-8")), FORM, path.stem)) == []


@each_profile
def test_every_fact_has_a_source(path: Path) -> None:
    assert list(without_source(tomllib.loads(path.read_text("utf-8")))) == []


@each_profile
def test_a_token_has_at_least_one_trap(path: Path) -> None:
    assert tomllib.loads(path.read_text("utf-8"))["traps"]


@pytest.mark.parametrize(
    ("value", "form"),
    [({}, {"a": str}), ({"a": 1, "b": 2}, {"a": int}), ([{"a": 1}], [{"a": str}]), ("maybe", {"yes"}), (1, str)],
)
def test_what_is_not_of_the_form_is_found(value: Any, form: Any) -> None:
    assert list(differences(value, form, "profile"))


def test_a_fact_without_a_source_is_found() -> None:
    assert list(without_source({"pin": {"lock": "never", "source": ""}}))
    assert not list(without_source({"pin": {"lock": "unknown", "source": ""}}))
