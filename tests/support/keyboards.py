"""A person without a mouse, in a browser that Playwright drives."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, field
from typing import Any

FOCUSED = """() => {
  const it = document.activeElement;
  if (!it || it === document.body) return "";
  const labels = it.labels ? [...it.labels].map((label) => label.innerText).join(" ") : "";
  return (it.getAttribute("aria-label") || labels || it.innerText || it.value || "").replace(/\\s+/g, " ").trim();
}"""
MOST = 200

Step = tuple[str, str]


@dataclass
class Keyboard:
    """Presses keys, and remembers which."""

    page: Any
    pressed: list[str] = field(default_factory=list)

    def do(self, steps: abc.Iterable[Step]) -> None:
        """`to`: Tab to what is called so, or begins so; `field`: to what is called just so; `type`: text; `press`: one
        key; `wait`: until the page says so."""
        for what, text in steps:
            match what:
                case "to":
                    self._to(lambda name, text=text: name.startswith(text))
                case "field":
                    self._to(lambda name, text=text: name == text)
                case "type":
                    self.page.keyboard.type(text)
                    self.pressed.append(f"“{text}”")
                case "press":
                    self.page.keyboard.press(text)
                    self.pressed.append(text)
                case "wait":
                    self.page.get_by_text(text).first.wait_for()

    def _to(self, is_it: abc.Callable[[str], bool]) -> None:
        names = []
        for count in range(1, MOST):
            self.page.keyboard.press("Tab")
            names.append(self.page.evaluate(FOCUSED))
            if is_it(names[-1]):
                self.pressed.append(f"Tab × {count}" if count > 1 else "Tab")
                return
        raise AssertionError(f"Tab leads only to {names} on {self.page.url}")

    @property
    def said(self) -> str:
        """What was pressed, in short."""
        return ", ".join(self.pressed)
