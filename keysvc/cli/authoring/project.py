"""`keysvc plugin new`: a whole project for a plugin, copied from templates that work as they stand.

The templates are plugins called `example`. What is called so gets the new name; keysvc's own checks run ruff, mypy and
the tests on what comes out.
"""

from __future__ import annotations

import re
from collections import abc
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from keysvc import __version__
from keysvc.errors import InvalidInput

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

LONGEST_NAME = 20


class Kind(StrEnum):
    """What a plugin can be."""

    KEY_STORE = "key-store"
    MAPPING_STORE = "mapping-store"
    NOTIFIER = "notifier"
    AUTHORIZER = "authorizer"

    @property
    def in_words(self) -> str:
        """With its article."""
        return f"{'an' if self.value[0] in 'aeiou' else 'a'} {self.value.replace('-', ' ')}"


@dataclass(frozen=True, slots=True)
class _Variant:
    """What differs between the kinds beside their code."""

    dependencies: tuple[str, ...]
    url: str
    option: str


_VARIANTS = {
    Kind.KEY_STORE: _Variant(
        ("cryptography>=48",), "example:///ABSOLUTE/DIRECTORY?key-source=file:/PATH", "--key-store"
    ),
    Kind.MAPPING_STORE: _Variant(("sqlalchemy>=2.0.41",), "example:///ABSOLUTE/FILE", "--mapping-store"),
    Kind.NOTIFIER: _Variant((), "example:///ABSOLUTE/FILE", "--notifier"),
    Kind.AUTHORIZER: _Variant((), "example:///ABSOLUTE/FILE", ""),
}


@dataclass(frozen=True, slots=True)
class Project:
    """What was written: where, how its URLs look, and the option of `keysvc demo` that takes one, if any does."""

    directory: Path
    url: str
    option: str
    files: tuple[str, ...]


def write(name: str, kind: Kind, directory: Path | None = None) -> Project:
    """A project for the plugin `name`, in `directory`, or in `keysvc-NAME` of the current one.

    Raises InvalidInput for a name that is none, and for a directory that is not new or empty: nothing is written then.
    """
    if len(name) > LONGEST_NAME or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise InvalidInput(
            f"{name!r} is no name for a plugin", hint="write a word like memo or my-hsm: it becomes the URL scheme too"
        )
    if name.partition("-")[0] == "keysvc":
        raise InvalidInput(f"{name!r} begins with keysvc", hint=f"write {name[7:] or 'memo'}: keysvc- comes by itself")
    directory = (directory or Path(f"keysvc-{name}")).absolute()
    variant = _VARIANTS[kind]
    try:
        if directory.exists() and any(directory.iterdir()):
            raise InvalidInput(f"{directory} is not empty", hint="give --dir a new or an empty directory")
        written = [_write(directory, path, text, name) for path, text in _files(kind, variant)]
    except OSError as error:
        raise InvalidInput(f"{directory}: {error.strerror or type(error).__name__}") from None
    return Project(directory, _renamed(variant.url, name), variant.option, tuple(sorted(written)))


def _files(kind: Kind, variant: _Variant) -> abc.Iterator[tuple[str, str]]:
    from importlib import resources

    templates = resources.files("keysvc.cli.authoring") / "templates"
    release = ".".join(__version__.split(".")[:2])
    dependencies = ", ".join(f'"{each}"' for each in sorted((f"keysvc>={release}", *variant.dependencies)))
    for path, text in (*_walk(templates / "project"), *_walk(templates / kind.value)):
        whole = text.replace("DEPENDENCIES", f"[{dependencies}]").replace("KIND", kind.in_words.capitalize())
        yield path.replace("gitignore", ".gitignore"), whole


def _walk(folder: Traversable, below: str = "") -> abc.Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_file() and not entry.name.endswith(".pyc"):
            yield f"{below}{entry.name}", entry.read_text("utf-8")
        elif entry.is_dir():
            yield from _walk(entry, f"{below}{entry.name}/")


def _write(directory: Path, path: str, text: str, name: str) -> str:
    path = _renamed(path, name)
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).write_text(_renamed(text, name), "utf-8")
    return path


def _renamed(text: str, name: str) -> str:
    """`keysvc_example` is a module, `test_example` a file, `ExampleSealer` a class, `EXAMPLE_KEY` a variable."""
    snake, words = name.replace("-", "_"), name.split("-")
    text = text.replace("keysvc_example", f"keysvc_{snake}").replace("test_example", f"test_{snake}")
    text = text.replace("open_example", f"open_{snake}").replace("Example", "".join(map(str.capitalize, words)))
    return text.replace("EXAMPLE", snake.upper()).replace("example", name)
