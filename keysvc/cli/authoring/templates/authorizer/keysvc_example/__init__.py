"""An authorizer: `example:///FILE`. Each line of the file is a group with its members. The plugin `example`."""

from __future__ import annotations

from collections import abc
from pathlib import Path

from keysvc.model.names import key
from keysvc.plugin import Authorizer, AuthorizerUnavailable, ConfigurationError, Opening, Register, hookimpl

KEYSVC_API = 2


@hookimpl
def keysvc_authorizers(register: Register[Authorizer]) -> None:
    """Register `example:`."""
    register(
        "example",
        open_example,
        summary="groups and their members, a line each",
        options={},
    )


def open_example(opening: Opening) -> Authorizer:
    """Raises ConfigurationError for a path that is not absolute."""
    path = opening.location.local_path
    if not path.is_absolute():
        raise ConfigurationError(
            "example: needs an absolute path",
            hint="write example:///etc/keysvc/groups",
        )
    return ExampleAuthorizer(path)


class ExampleAuthorizer:
    """A `keysvc.plugin.interfaces.Authorizer`. It remembers nothing: keysvc does, for one poll interval."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def groups_of(self, name: str) -> abc.Collection[str]:
        """Through other groups as well. Raises AuthorizerUnavailable: what only a group would allow is denied then."""
        try:
            lines = self._path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise AuthorizerUnavailable(f"{self._path}: {getattr(error, 'strerror', None) or 'no UTF-8'}") from None
        members = {group.strip(): _names(names) for group, _, names in (line.partition(":") for line in lines)}
        found: list[str] = []
        waiting = [name]
        while waiting:
            member = key(waiting.pop().strip())
            new = [group for group, names in members.items() if member and member in names and group not in found]
            found.extend(new)
            waiting.extend(new)
        return found

    def close(self) -> None:
        """Nothing is held open."""


def _names(text: str) -> set[str]:
    return {key(name.strip()) for name in text.split(",")}
