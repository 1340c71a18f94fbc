"""Who is let in, and what every answer carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from keysvc_console import gate as gates
from plain_browser import PlainBrowser

if TYPE_CHECKING:
    from conftest import Console, Estate


@pytest.fixture
def console(estate: Estate) -> Console:
    return estate.console()


def test_an_address_opens_the_console_once(console: Console) -> None:
    address = console.address()
    first, second = (PlainBrowser(console.gate.origin, console.gate.prefix) for _ in range(2))
    assert first.open(address).status == 200
    assert "httponly" in first.page.headers["set-cookie"].lower()
    assert "samesite=strict" in first.page.headers["set-cookie"].lower()
    assert first.get("/").status == 200
    assert second.open(address).status == 403
    assert second.cookies == {}


def test_an_address_that_is_opened_again_ends_the_session_and_the_terminal_says_so(console: Console) -> None:
    address = console.address()
    first, second = (PlainBrowser(console.gate.origin, console.gate.prefix) for _ in range(2))
    first.open(address)
    assert first.get("/").status == 200
    second.open(address)
    assert first.get("/").status == 401
    assert "opened a second time" in console.told[-1][1]
    again, _ = console.told[-1]
    assert first.open(again).status == 200
    assert first.get("/").status == 200


def test_an_address_that_nobody_opened_in_time_opens_nothing(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    address = console.address()
    now = gates.elapsed()
    monkeypatch.setattr(gates, "elapsed", lambda: now + gates.START_SECONDS + 1)
    browser = PlainBrowser(console.gate.origin, console.gate.prefix)
    assert browser.open(address).status == 403


def test_a_session_ends_when_it_is_idle_and_when_its_owner_signs_out(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = console.browser()
    browser.send("Sign out")
    assert browser.get("/").status == 401
    browser = console.browser()
    now = gates.elapsed()
    monkeypatch.setattr(gates, "elapsed", lambda: now + gates.IDLE_SECONDS + 1)
    assert browser.get("/").status == 401


def test_a_new_session_ends_the_one_before(console: Console) -> None:
    first, second = console.browser(), console.browser()
    assert first.get("/").status == 401
    assert second.get("/").status == 200


def test_every_answer_carries_the_policy_and_is_kept_by_no_cache(console: Console) -> None:
    browser = console.browser()
    for path in ("/", "/versions", "/servers", "/nothing", "/start/nothing"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_a_page_has_no_script_or_style_of_its_own_and_loads_nothing_from_elsewhere(console: Console) -> None:
    browser = console.browser()
    for path in ("/", "/versions", "/servers"):
        for tag, given in browser.get(path).elements:
            assert "style" not in given, (path, tag)
            assert not [name for name in given if name.startswith("on")]
            address = given.get("src") or (given.get("href") if tag == "link" else None)
            assert address is None or address.startswith(f"{browser.prefix}/static/")
            assert tag != "script" or given.get("src")


def test_the_script_of_the_console_is_short() -> None:
    from importlib import resources

    script = resources.files("keysvc_console").joinpath("static/console.js").read_text("utf-8")
    assert len(script.splitlines()) <= 200
    assert "innerHTML" not in script
