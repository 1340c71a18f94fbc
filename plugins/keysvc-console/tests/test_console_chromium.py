"""The console in Chromium: each task by keyboard alone, axe-core on each page in each state and theme, no report of the
policy, and pictures for the documentation."""

from __future__ import annotations

import os
from collections import abc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from consoles import standing
from keyboards import Keyboard, Step
from systems import eventually

from keysvc.model import ApplicationType, Field, Flags, Mapping, Role
from keysvc.plugin.changes import UNGUARDED, PutMapping
from keysvc.sso.permissions import SSORole

if TYPE_CHECKING:
    from consoles import Console, Estate

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: tox run -e console")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = "/usr/bin/chromium"
if not Path(CHROMIUM).exists():
    pytest.skip("Chromium is not installed: apt-get install chromium", allow_module_level=True)
ALL = bool(os.environ.get("KEYSVC_ALL_PAGES"))
"""Whether to look at every page in every state and theme; else at a few."""
DOCS = os.environ.get("KEYSVC_CONSOLE_DOCS")
"""The folder of the documentation, to put pictures and the table of tasks into."""
TABLE = Path(__file__).parents[3] / "docs/reference/console-tasks.md"
ROWS = 10_000
BAGS = [Field("Name", masked=False), Field("Host", masked=False), Field("Password", masked=True)]


@pytest.fixture(scope="module")
def chromium() -> abc.Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Window:
    """One page of a browser, in which the console is open."""

    def __init__(self, browser: Any, console: Console, **options: Any) -> None:
        self.console = console
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        self.page = self.context.new_page()
        self.base = f"{console.gate.origin}{console.gate.prefix}"
        self.page.goto(console.address())
        self.page.wait_for_url(f"{self.base}/")

    def go(self, path: str) -> Any:
        self.page.goto(f"{self.base}{path}")
        return self.page

    def violations(self) -> list[str]:
        found = axe.Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]

    def close(self) -> None:
        self.context.close()


def filled(estate: Estate, rows: int = 0) -> Estate:
    """With everything that a page may show."""
    estate.with_sap()
    administration = estate.administration
    administration.create_application("FTP", BAGS, type_=ApplicationType.CONFIG_STORE, flags=Flags(enabled=True))
    administration.set_mapping("SAP", "boss", "BOSS", enable=True)
    estate.sso.set_config_info("FTP", {"Host": "ftp.nordwind.example", "Password": "geheim"}, name="ftp-adapter")
    names = [f"NORDWIND\\user{n:05}" for n in range(rows)]
    for start in range(0, rows, 500):
        page = names[start : start + 500]
        mappings = [PutMapping(Mapping("SAP", name, name[-9:].upper(), enabled=name[-1] != "5")) for name in page]
        estate.system.store().commit(mappings, UNGUARDED)
    return estate


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[abc.Callable[[str], Console]]:
    """The console of a state: nothing there, a little, 10,000 rows, no agent, or somebody who may do little."""
    estates: dict[str, Any] = {}
    consoles: dict[str, Console] = {}

    def of(state: str) -> Console:
        which = {"error": "one", "denied": "one"}.get(state, state)
        if which not in estates:
            ending = standing(tmp_path_factory.mktemp(which))
            estates[which] = ending, ending.__enter__()
            if which != "empty":
                filled(estates[which][1], ROWS if which == "many" else 0)
        estate = estates[which][1]
        if state not in consoles:
            match state:
                case "error":
                    consoles[state] = estate.console("chief", Role.ADMINISTRATOR, agent="127.0.0.1:9")
                case "denied":
                    consoles[state] = estate.of(SSORole.APPLICATION_USER)
                case _:
                    consoles[state] = estate.console()
        return consoles[state]

    yield of
    for ending, _ in estates.values():
        ending.__exit__(None, None, None)


PAGES = (
    "/",
    "/versions",
    "/servers",
    "/servers/revoke?name=boss",
    "/settings",
    "/mine",
    "/applications",
    "/applications/new",
    "/application?name=SAP",
    "/mappings?application=SAP",
    "/mapping?application=SAP&user=anna",
    "/mappings/wizard?application=SAP",
    "/bags",
    "/bag?application=FTP&name=ftp-adapter",
    "/import",
    "/audit",
    "/notifiers",
    "/plugins",
    "/doctor",
)
STATES = ("empty", "one", "many", "error", "denied") if ALL else ("one", "denied")
THEMES = ("light", "dark")
FEW = {"/", "/mappings?application=SAP", "/mapping?application=SAP&user=anna"}


@pytest.mark.parametrize("theme", THEMES if ALL else ("light",))
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing_on_any_page_and_the_policy_is_never_broken(
    chromium: Any, states: abc.Callable[[str], Console], state: str, theme: str
) -> None:
    console = states(state)
    window = Window(chromium, console, color_scheme=theme)
    looked = {path: [*window.violations()] for path in PAGES if (ALL or path in FEW) and window.go(path)}
    window.close()
    assert {path: found for path, found in looked.items() if found} == {}
    assert console.reports == []


@pytest.mark.parametrize("width", [320, 768, 3840] if ALL else [320])
def test_no_page_is_wider_than_its_window(chromium: Any, states: abc.Callable[[str], Console], width: int) -> None:
    window = Window(chromium, states("one"), viewport={"width": width, "height": 900})
    wide = [
        path
        for path in PAGES
        if (ALL or path in FEW)
        and window.go(path).evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    ]
    window.close()
    assert wide == []


@pytest.mark.skipif(not ALL, reason="KEYSVC_ALL_PAGES is not set: make console")
def test_with_forced_colours_and_without_script_every_page_opens(
    chromium: Any, states: abc.Callable[[str], Console]
) -> None:
    console = states("one")
    for options in ({"forced_colors": "active"}, {"java_script_enabled": False}, {"reduced_motion": "reduce"}):
        window = Window(chromium, console, **options)
        for path in PAGES:
            assert window.go(path).locator("h1").count() == 1, (options, path)
        window.close()
    assert console.reports == []


SKIP: tuple[Step, ...] = (("to", "Skip to the content"), ("press", "Enter"))


@dataclass(frozen=True)
class Task:
    """What a person wants, the vendor's page about it, where it begins, and what it presses."""

    name: str
    page: str
    path: str
    steps: tuple[Step, ...]
    who: str = "boss"
    part: bool = False
    """Whether `make test` tries it too."""


def press(name: str) -> tuple[Step, Step]:
    return ("to", name), ("press", "Enter")


def fill(name: str, text: str) -> tuple[Step, Step]:
    return ("to", name), ("type", text)


def says(text: str) -> Step:
    return "wait", text


TASKS = (
    Task(
        "generate a master secret",
        "how-to-generate-the-master-secret",
        "/versions",
        (*press("Start a rotation"), says("Version 2 is announced")),
        part=True,
    ),
    Task(
        "list the servers, enrol one",
        "how-to-use-the-servers-snap-in",
        "/servers",
        (*fill("Name", "web-09"), ("to", "server"), *press("Make a join token"), says("is shown once")),
    ),
    Task(
        "name the administrators of the system",
        "how-to-specify-sso-administrators-and-affiliate-administrators-accounts",
        "/settings",
        (
            ("to", "Affiliate administrators"),
            ("press", "Control+End"),
            ("press", "Enter"),
            ("type", "NORDWIND\\Leads"),
            *press("Save who administers"),
            says("are changed"),
        ),
    ),
    Task(
        "say which lookups are audited",
        "how-to-audit-sso",
        "/settings",
        (("to", "Lookups that succeeded"), ("press", "ArrowDown"), *press("Save the levels"), says("are changed")),
    ),
    Task(
        "say how long tickets are good",
        "how-to-configure-the-enterprise-single-sign-on-tickets",
        "/settings",
        (
            ("to", "Tickets are good for"),
            ("press", "Control+a"),
            ("type", "5"),
            *press("Save time-outs"),
            says("are changed"),
        ),
    ),
    Task(
        "disable the system and enable it",
        "how-to-enable-sso, how-to-disable-sso",
        "/settings",
        (
            *fill("Type “disable”", "disable"),
            *press("Disable the system"),
            says("The system is disabled."),
            *press("Enable the system"),
            says("The system is enabled."),
        ),
    ),
    Task(
        "create an affiliate application",
        "how-to-create-an-affiliate-application",
        "/applications/new",
        (*fill("Name", "CRM"), *press("Create the application"), says("CRM is created.")),
        part=True,
    ),
    Task(
        "change the properties of an application",
        "how-to-update-the-properties-of-an-affiliate-application",
        "/application?name=CRM",
        (*fill("Description", "customers"), *press("Save the description"), says("The description is changed.")),
    ),
    Task(
        "disable an application and enable it",
        "how-to-enable-an-affiliate-application, how-to-disable-an-affiliate-application",
        "/application?name=CRM",
        (*press("Disable"), says("CRM is disabled."), *press("Enable"), says("CRM is enabled.")),
    ),
    Task(
        "clear the cache of an application",
        "how-to-clear-the-application-cache",
        "/application?name=SAP",
        (*press("Purge the agent's cache"), says("The agent forgot")),
    ),
    Task(
        "list the mappings of a user",
        "how-to-list-user-mappings",
        "/mappings?application=SAP",
        (*fill("User begins with", "an"), ("press", "Enter"), says("ANNA")),
    ),
    Task(
        "create a mapping",
        "how-to-create-user-mappings",
        "/mappings?application=SAP",
        (
            ("field", "User"),
            ("type", "carla"),
            *fill("External user", "CARLA"),
            ("press", "Enter"),
            says("carla is CARLA in SAP."),
        ),
    ),
    Task(
        "disable a mapping and enable it",
        "how-to-enable-a-user-mapping, how-to-disable-a-user-mapping",
        "/mapping?application=SAP&user=bert",
        (*press("Disable"), says("bert is disabled."), *press("Enable"), says("bert is enabled.")),
    ),
    Task(
        "set the credentials of a mapping",
        "how-to-set-credentials-for-a-user-mapping",
        "/mapping?application=SAP&user=bert",
        (*fill("Password", "neu-1"), *press("Replace the credential"), says("is stored under version")),
    ),
    Task(
        "map the members of a group by a rule",
        "how-to-use-the-mapping-wizard",
        "/mappings/wizard?application=SAP",
        (
            *fill("Users", "NORDWIND\\dora"),
            *press("Preview"),
            says("1 of 1 would be changed"),
            *press("Map 1 users"),
            says("1 users are mapped"),
        ),
    ),
    Task(
        "delete a mapping",
        "how-to-delete-user-mappings",
        "/mapping?application=SAP&user=NORDWIND%5Cdora",
        (*press("Delete the mapping"), says("is deleted, with its credential")),
    ),
    Task(
        "delete an application",
        "how-to-delete-an-affiliate-application",
        "/application?name=CRM",
        (*fill("Type its name", "CRM"), *press("Delete CRM"), says("CRM is deleted")),
    ),
    Task(
        "store a property bag",
        "the SSO configuration snap-in",
        "/bag?application=FTP&name=new-adapter",
        (*fill("Host", "ftp.example"), *fill("Password", "geheim"), *press("Store"), says("new-adapter is stored")),
    ),
    Task(
        "list one's own mappings, and test one",
        "how-to-list-user-mappings, by the client utility",
        "/mine",
        (*press("Test: SAP"), says("It works: ANNA")),
        who="anna",
        part=True,
    ),
    Task(
        "set one's own credentials",
        "how-to-set-credentials-for-the-affiliate-application-using-the-client-utility",
        "/mapping?application=SAP&user=anna",
        (*fill("Password", "neu-2"), *press("Replace the credential"), says("is stored under version")),
        who="anna",
    ),
    Task(
        "clear one's own credentials",
        "how-to-install-the-sso-client-utility",
        "/mine",
        (*press("Clear: SAP"), says("is deleted")),
        who="anna",
    ),
)


@pytest.fixture(scope="module")
def pressed() -> abc.Iterator[dict[str, str]]:
    """The keys of each task; for the table when it is to be written."""
    keys: dict[str, str] = {}
    yield keys
    if DOCS and len(keys) == len(TASKS):
        before, head, _ = TABLE.read_text("utf-8").partition(HEAD)
        rows = [f"| {task.name} | {task.page} | `{shown(task)}` | {keys[task.name]} |" for task in TASKS]
        TABLE.write_text(before + head + "\n".join([*rows, ""]), "utf-8")


HEAD = "| task | Enterprise SSO | page | keys |\n| --- | --- | --- | --- |\n"


def shown(task: Task) -> str:
    """The path of its page."""
    return task.path.partition("?")[0]


def test_the_table_has_every_task() -> None:
    rows = TABLE.read_text("utf-8").partition(HEAD)[2].splitlines()
    assert [row.split(" | ")[:3] for row in rows] == [
        [f"| {task.name}", task.page, f"`{shown(task)}`"] for task in TASKS
    ]


@pytest.mark.parametrize("task", [each for each in TASKS if ALL or each.part], ids=lambda task: task.name)
def test_a_task_is_done_by_keyboard_alone(
    chromium: Any, states: abc.Callable[[str], Console], task: Task, pressed: dict[str, str]
) -> None:
    console = states("one" if task.who == "boss" else "denied")
    window = Window(chromium, console)
    window.go(task.path)
    keyboard = Keyboard(window.page)
    keyboard.do((*SKIP, *task.steps))
    window.close()
    pressed[task.name] = keyboard.said
    assert console.reports == []


def test_a_field_is_shown_in_its_place_copied_without_being_shown_and_hidden_again(
    chromium: Any, tmp_path: Path
) -> None:
    with standing(tmp_path) as estate:
        filled(estate)
        window = Window(chromium, estate.console())
        window.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = window.page
        page.clock.install()
        window.go("/mapping?application=SAP&user=anna")
        assert "geheim-anna" not in page.content()
        page.get_by_role("button", name="Copy Password").click()
        page.get_by_text("Copied, and not shown").wait_for()
        assert "geheim-anna" not in page.content()
        assert page.evaluate("navigator.clipboard.readText()") == "geheim-anna"
        page.get_by_role("button", name="Show or hide Password").click()
        page.get_by_text("geheim-anna").wait_for()
        assert "geheim" not in page.url
        page.clock.fast_forward(31_000)
        page.get_by_text("Hidden again").wait_for()
        assert "geheim-anna" not in page.content()
        window.close()


def test_the_progress_of_a_rotation_moves_by_itself(chromium: Any, tmp_path: Path) -> None:
    with standing(tmp_path) as estate:
        filled(estate)
        assert estate.system.master is not None
        estate.system.master.change_rotation("administrator", max_rows_per_second=1)
        estate.system.master.rotate("administrator")
        window = Window(chromium, estate.console())
        window.go("/versions")
        estate.system.master.change_rotation("administrator", max_rows_per_second=0)
        eventually(lambda: estate.system.master.status().rotation is None)
        window.page.get_by_text("The rotation is finished").wait_for()
        window.close()


SHOWN = {
    "overview": "/",
    "versions": "/versions",
    "application": "/application?name=SAP",
    "mappings": "/mappings?application=SAP",
    "mapping": "/mapping?application=SAP&user=anna",
    "audit": "/audit",
}


@pytest.mark.skipif(not ALL, reason="KEYSVC_ALL_PAGES is not set: make console")
def test_pictures_of_the_main_pages_are_made(
    chromium: Any, states: abc.Callable[[str], Console], tmp_path: Path
) -> None:
    folder = Path(DOCS) / "images" if DOCS else tmp_path
    for name, path in SHOWN.items():
        for theme in THEMES:
            window = Window(chromium, states("many"), color_scheme=theme, viewport={"width": 1200, "height": 760})
            window.go(path).screenshot(path=folder / f"console-{name}-{theme}.png")
            window.close()
            assert (folder / f"console-{name}-{theme}.png").stat().st_size > 10_000
