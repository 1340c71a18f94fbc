"""Attacks on the console: by names that are legal and mean harm, from other pages, and by whoever saw an address."""

from __future__ import annotations

import http.client
from collections import abc
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from keysvc_console.gate import COOKIE
from plain_browser import PlainBrowser

from keysvc.errors import InvalidInput
from keysvc.model import ApplicationType, Field, Flags, Role, names

if TYPE_CHECKING:
    from consoles import Console, Estate

FIELDS = [Field("User Id", masked=False), Field("Password", masked=True)]
MARK = "keysvcxss"
PAYLOADS = (
    f"<script>{MARK}()</script>",
    f"<img src=x onerror={MARK}()>",
    f'"><svg onload={MARK}()>',
    f"' onmouseover='{MARK}()",
    f"javascript:{MARK}()",
    f"</title><script>{MARK}()</script>",
    f"</textarea><script>{MARK}()</script>",
    f"{{{{ {MARK} }}}}{{% {MARK} %}}",
    f"${{{MARK}()}}",
    f"<!--{MARK}-->",
    f"&lt;script&gt;{MARK}()",
    f"x\u2028<script>{MARK}()</script>".replace("\u2028", " "),
    f"'; {MARK}(); //",
    f"<a href=//evil.example>{MARK}</a>",
)
"""Each is a legal name of an application, an external user, a field and a property bag; without a slash, of a user and
of a certificate."""


class Marked(HTMLParser):
    """What of a page is code, or leads elsewhere, and holds the mark."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts: list[str | None] = []
        self._in_script = False
        self.feed(body)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_script = tag == "script"
        if tag == "script":
            self.scripts.append(given.get("src"))
        for name, value in given.items():
            if name.startswith("on") or (
                name in {"href", "src", "action"} and not (value or "").startswith(("/", "#"))
            ):
                self.found.append(f"{tag} {name}={value}")
            if MARK in tag or MARK in name:
                self.found.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.found.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


def is_account(text: str) -> bool:
    """Accounts may not hold every character that other names may."""
    try:
        names.check_account("account", text)
    except InvalidInput:
        return False
    return True


def user_of(number: int) -> str:
    """The user who has this payload as its name, as far as users may."""
    return PAYLOADS[number] if is_account(PAYLOADS[number]) else f"user {number}"


@pytest.fixture(scope="module")
def hostile(estate: Estate) -> list[str]:
    """Every payload wherever a name or a text may stand. Returns the applications."""
    administration, made = estate.administration, []
    for number, payload in enumerate(PAYLOADS):
        options = {
            "flags": Flags(enabled=True),
            "description": payload,
            "contact": payload,
            "user_accounts": [payload] if is_account(payload) else [],
            "administrator_accounts": [payload] if is_account(payload) else [],
        }
        fields = [Field(payload, masked=False), Field(f"{payload} secret", masked=True)]
        store = f"bags {number} {payload}"
        for name, type_ in ((f"app {number} {payload}", None), (store, ApplicationType.CONFIG_STORE)):
            administration.create_application(name, fields, type_=type_ or ApplicationType.INDIVIDUAL, **options)
            made.append(name)
        user = user_of(number)
        administration.set_mapping(made[-2], user, payload, enable=True)
        administration.set_mapping("SAP", user, payload, enable=True)
        estate.sso.set_credential(made[-2], {f"{payload} secret": payload}, user=user)
        estate.sso.set_config_info(store, {f"{payload} secret": payload}, name=payload)
        assert estate.system.master is not None
        if "/" not in payload:
            estate.system.master.identities.enroll(f"{number} {payload}", Role.USER, "administrator")
    return made


def pages(browser: PlainBrowser, applications: abc.Sequence[str]) -> abc.Iterator[str]:
    from urllib.parse import urlencode

    yield from sorted({href.removeprefix(browser.prefix) for href, _ in browser.page.links if "#" not in href})
    yield "/mappings?application=SAP"
    yield "/audit?limit=500&action=application"
    for number, payload in enumerate(PAYLOADS):
        application, store = applications[2 * number], applications[2 * number + 1]
        yield f"/application?{urlencode({'name': application})}"
        yield f"/mappings?{urlencode({'application': application, 'user': payload, 'external': payload})}"
        yield f"/mapping?{urlencode({'application': application, 'user': user_of(number)})}"
        yield f"/mappings/wizard?{urlencode({'application': application, 'users': payload})}"
        yield f"/bags?{urlencode({'application': store, 'user': payload})}"
        yield f"/bag?{urlencode({'application': store, 'name': payload})}"
        yield f"/servers/revoke?{urlencode({'name': payload})}"
        yield f"/audit?{urlencode({'actor': payload, 'subject': payload})}"
        yield f"/application?{urlencode({'name': f'no {payload}'})}"


def test_no_name_and_no_text_becomes_code_on_any_page(estate: Estate, hostile: list[str]) -> None:
    browser = estate.console().browser()
    shown = 0
    for path in pages(browser, hostile):
        page = browser.get(path)
        marked = Marked(page.body)
        assert marked.found == [], path
        assert all(source and source.startswith(f"{browser.prefix}/static/") for source in marked.scripts), path
        shown += MARK in page.body
    assert shown > 100


def test_what_is_revealed_is_text(estate: Estate, hostile: list[str]) -> None:
    from urllib.parse import urlencode

    browser = estate.console().browser()
    for number, payload in enumerate(PAYLOADS):
        browser.get(f"/mapping?{urlencode({'application': hostile[2 * number], 'user': user_of(number)})}")
        page = browser.send(" ".join(f"{payload} secret".split()))
        assert Marked(page.body).found == []
        form = page.form(" ".join(f"{payload} secret".split()))
        page = browser.post(browser.origin + form.action, form.values, Accept="application/json")
        assert page.headers["content-type"] == "application/json"
        assert page.headers["x-content-type-options"] == "nosniff"


def test_a_name_with_a_line_break_is_no_name(estate: Estate) -> None:
    for name in ("a\nb", "a\r\nSet-Cookie: x=1", "a\x00b"):
        with pytest.raises(InvalidInput):
            estate.administration.create_application(name, FIELDS)


@pytest.fixture
def console(estate: Estate) -> Console:
    return estate.console()


FROM_ELSEWHERE = (
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
    {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": ""},
)


@pytest.mark.parametrize("headers", FROM_ELSEWHERE, ids=str)
def test_a_form_of_another_page_changes_nothing_even_with_the_cookie_and_the_token(
    console: Console, estate: Estate, headers: dict[str, str]
) -> None:
    browser = console.browser()
    form = browser.get("/versions").form("Start a rotation")
    page = browser.post(browser.origin + form.action, form.values, **headers)
    assert page.status == 403
    assert estate.system.master is not None
    assert len(estate.system.master.status().versions) == 1


@pytest.mark.parametrize("token", ["", "x", "of another session"])
def test_a_form_without_the_token_of_the_session_changes_nothing(console: Console, estate: Estate, token: str) -> None:
    browser = console.browser()
    if token == "of another session":
        token = browser.page.forms[0].values["csrf"]
        browser = console.browser()
    page = browser.post(f"{browser.origin}{browser.prefix}/versions/rotate", {"csrf": token})
    assert page.status == 403
    assert estate.system.master is not None
    assert len(estate.system.master.status().versions) == 1


def test_nothing_is_changed_by_get(console: Console) -> None:
    browser = console.browser()
    for path in ("/versions/rotate", "/settings/switch", "/mapping/change", "/sign-out", "/mapping/reveal"):
        assert browser.get(path).status == 405


def ask(console: Console, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(console.gate.host, timeout=60)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_a_name_of_somebody_else_that_leads_here_is_not_answered(console: Console) -> None:
    browser = console.browser()
    cookie = f"{COOKIE}={browser.cookies[COOKIE]}"
    for host in ("evil.example", "localhost", f"localhost:{console.gate.host.partition(':')[2]}", "127.0.0.1"):
        assert ask(console, f"{console.gate.prefix}/", Host=host, Cookie=cookie).status == 421


def test_no_page_may_be_framed(console: Console) -> None:
    headers = console.browser().get("/").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-opener-policy"] == "same-origin"


def test_a_session_that_an_attacker_chose_is_not_taken_up(console: Console) -> None:
    browser = PlainBrowser(console.gate.origin, console.gate.prefix)
    browser.cookies[COOKIE] = "chosen-by-the-attacker"
    browser.open(console.address())
    assert browser.cookies[COOKIE] != "chosen-by-the-attacker"
    attacker = PlainBrowser(console.gate.origin, console.gate.prefix)
    attacker.cookies[COOKIE] = "chosen-by-the-attacker"
    assert attacker.get("/").status == 401
    assert browser.get("/").status == 200


def test_the_cookie_alone_leads_nowhere_and_neither_does_the_path_alone(console: Console) -> None:
    browser = console.browser()
    cookie = f"{COOKIE}={browser.cookies[COOKIE]}"
    assert f"path={console.gate.prefix}/" in browser.open(console.address()).headers.get(
        "set-cookie", f"path={console.gate.prefix}/"
    ).lower().replace(console.gate.prefix.lower(), console.gate.prefix)
    assert ask(console, "/", Cookie=cookie).status == 404
    assert ask(console, "/versions", Cookie=cookie).status == 404
    assert ask(console, f"{console.gate.prefix}/versions").status == 401


def test_whoever_uses_a_stolen_address_first_is_noticed_and_put_out(console: Console) -> None:
    address = console.address()
    thief, owner = (PlainBrowser(console.gate.origin, console.gate.prefix) for _ in range(2))
    thief.open(address)
    assert thief.get("/").status == 200
    page = owner.open(address)
    assert page.status == 403
    assert "somebody else did" in page.text
    assert thief.get("/").status == 401
    assert owner.open(console.told[-1][0]).status == 200
    assert owner.get("/").status == 200


def test_an_address_cannot_be_guessed(console: Console) -> None:
    address = console.address()
    assert len(address.rpartition("/")[2]) >= 43  # 256 bits
    for guess in ("", "x", address.rpartition("/")[2][:-1]):
        assert ask(console, f"{console.gate.prefix}/start/{guess}").status in {401, 403, 404}
    assert PlainBrowser(console.gate.origin, console.gate.prefix).open(address).status == 200


def test_a_body_without_end_and_a_huge_one_are_refused(console: Console) -> None:
    browser = console.browser()
    own = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin", "Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    for length, status in (({"Content-Length": "5000000"}, 413), ({"Transfer-Encoding": "chunked"}, 411)):
        connection = http.client.HTTPConnection(console.gate.host, timeout=60)
        connection.putrequest("POST", f"{browser.prefix}/versions/rotate")
        for name, value in {**own, **length}.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == status
        connection.close()


def test_reports_of_browsers_are_bounded(console: Console) -> None:
    for _ in range(150):
        connection = http.client.HTTPConnection(console.gate.host, timeout=60)
        connection.request("POST", f"{console.gate.prefix}/reports", b"{}")
        assert connection.getresponse().status == 204
        connection.close()
    assert len(console.reports) == 100
