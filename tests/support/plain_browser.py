"""A browser without script: it keeps cookies, follows links, fills forms in, and says where each request comes from."""

from __future__ import annotations

import http.client
from collections import abc
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

VOID = frozenset({"input", "br", "hr", "img", "link", "meta"})


@dataclass
class Form:
    """A form as it stands: what is sent, and where to."""

    method: str
    action: str
    values: dict[str, str] = field(default_factory=dict)
    text: str = ""
    names: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._select = self._area = ""
        self._first_option = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append((tag, given))
        if tag not in VOID:
            self._open.append(tag)
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "form":
            self.forms.append(Form(given.get("method") or "get", given.get("action") or ""))
        elif tag == "a":
            self.links.append((given.get("href") or "", ""))
        elif tag == "select":
            self._select, self._first_option = name, True
        elif tag == "option" and self._select:
            if self._first_option or "selected" in given:
                self.forms[-1].values[self._select] = value
            self._first_option = False
        elif tag == "textarea" and self.forms and name:
            self._area = name
            self.forms[-1].values[name] = ""
        elif tag == "input" and self.forms and name:
            self.forms[-1].names.add(name)
            if given.get("type") not in {"checkbox", "radio"} or "checked" in given:
                self.forms[-1].values[name] = value

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        if tag == "textarea":
            self._area = ""
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "script" in self._open or "style" in self._open:
            return
        self.words.append(data)
        if self._area:
            self.forms[-1].values[self._area] += data
        if "form" in self._open and self.forms:
            self.forms[-1].text += data
        if "a" in self._open and self.links:
            href, text = self.links[-1]
            self.links[-1] = href, text + data


@dataclass
class Shown:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: str
    path: str

    def __post_init__(self) -> None:
        reader = _Reader()
        reader.feed(self.body)
        self.forms, self.links, self.elements = reader.forms, reader.links, reader.elements
        self.text = " ".join(" ".join(reader.words).split())

    def form(self, text: str) -> Form:
        """The one that has these words in it."""
        found = [form for form in self.forms if text in " ".join(form.text.split())]
        assert found, f"no form says {text!r}: {[' '.join(form.text.split()) for form in self.forms]}"
        return found[0]


class PlainBrowser:
    """At a console whose pages are below `prefix`."""

    def __init__(self, origin: str, prefix: str) -> None:
        self.origin, self.prefix = origin, prefix
        self.cookies: dict[str, str] = {}
        self.page: Shown = Shown(0, {}, "", "")

    def open(self, address: str) -> Shown:
        """As a person who pastes an address."""
        return self._ask("GET", address, {"Sec-Fetch-Site": "none"})

    def get(self, path: str) -> Shown:
        """A link of the console's own."""
        return self._ask("GET", self.origin + self.prefix + path, {"Sec-Fetch-Site": "same-origin"})

    def send(self, text: str, **values: str) -> Shown:
        """Fill in the form that has these words, and send it."""
        form = self.page.form(text)
        content = {**form.values, **values}
        address = urljoin(self.origin, form.action)
        if form.method == "get":
            return self._ask("GET", f"{address}?{urlencode(content)}", {"Sec-Fetch-Site": "same-origin"})
        return self.post(address, content)

    def send_files(self, text: str, files: abc.Mapping[str, tuple[str, str]], **values: str) -> Shown:
        """As `send`, with a file for each name: its own name, and what is in it."""
        form, boundary = self.page.form(text), "-----of-the-form"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in {**form.values, **values}.items()
            if name not in files
        ]
        parts += [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
            f"Content-Type: application/xml\r\n\r\n{content}\r\n"
            for name, (file, content) in files.items()
        ]
        own = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        own["Content-Type"] = f"multipart/form-data; boundary={boundary}"
        return self._ask("POST", urljoin(self.origin, form.action), own, "".join(parts) + f"--{boundary}--\r\n")

    def post(self, address: str, content: abc.Mapping[str, str], **headers: str) -> Shown:
        """With the headers of a form of the console's own, unless others are given."""
        own = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        own["Content-Type"] = "application/x-www-form-urlencoded"
        return self._ask("POST", address, {**own, **headers}, urlencode(content))

    def _ask(self, method: str, address: str, headers: dict[str, str], body: str | None = None) -> Shown:
        for _ in range(5):
            parts = urlsplit(address)
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=60)
            cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, {**headers, **({"Cookie": cookies} if cookies else {})})
            response = connection.getresponse()
            content = response.read().decode()
            for text in response.headers.get_all("Set-Cookie") or []:
                name, _, rest = text.partition("=")
                self.cookies[name] = rest.partition(";")[0]
            connection.close()
            answered = {name.lower(): value for name, value in response.headers.items()}
            self.page = Shown(response.status, answered, content, target.removeprefix(self.prefix))
            if response.status not in {302, 303}:
                break
            method, body = "GET", None
            address = urljoin(address, answered["location"])
        return self.page
