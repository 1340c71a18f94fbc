r"""The embedded authorizer, `static:///FILE`: groups and their members in a TOML file.

[groups]
'NORDWIND\SAP Users' = ['anna', 'NORDWIND\Accounting']    # a member may be a group
'NORDWIND\Accounting' = ['bert']
"""

from __future__ import annotations

import tomllib
from collections import abc
from pathlib import Path

from keysvc.errors import AuthorizerUnavailable, ConfigurationError
from keysvc.model import names
from keysvc.plugin.hookspecs import hookimpl
from keysvc.plugin.interfaces import Authorizer, Opening, Register
from keysvc.text import read_text


@hookimpl
def keysvc_authorizers(register: Register[Authorizer]) -> None:
    """Register `static:`."""
    register("static", open_static, summary="groups and their members in a TOML file", options={})


def open_static(opening: Opening) -> Authorizer:
    """Raises ConfigurationError for a path that is not absolute, and a file that cannot be used."""
    path = opening.location.local_path
    if not path.is_absolute():
        raise ConfigurationError("static: needs an absolute path", hint="write static:///etc/keysvc/groups.toml")
    read(path)
    return StaticAuthorizer(path)


class StaticAuthorizer:
    """Reads the file at every question, so that what was written there counts. Somebody is only ever asked about once a
    poll interval."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def groups_of(self, name: str) -> abc.Collection[str]:
        """Also through other groups; groups that contain each other do no harm. Raises AuthorizerUnavailable."""
        try:
            groups = read(self._path)
        except ConfigurationError as error:
            raise AuthorizerUnavailable(f"the groups cannot be read: {error}", hint=error.hint) from None
        found: dict[str, None] = {}
        waiting = [name]
        while waiting:
            member = names.key(waiting.pop())
            for group, members in groups.items():
                if member in members and group not in found:
                    found[group] = None
                    waiting.append(group)
        return tuple(found)

    def close(self) -> None:
        """Nothing is held."""


def read(path: Path) -> dict[str, frozenset[str]]:
    """Each group with its members, in lower case. Raises ConfigurationError, which names the file and what is wrong."""
    hint = "it holds one table: [groups], and in it lines such as 'SAP users' = ['anna', 'bert']"
    try:
        content = tomllib.loads(read_text(path))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or type(error).__name__}", hint=hint) from None
    except (ValueError, RecursionError) as error:  # also what is said to a number of 5,000 digits
        raise ConfigurationError(f"{path} is no TOML: {error}", hint=hint) from None
    unknown = sorted(content.keys() - {"groups"})
    if unknown:
        raise ConfigurationError(f"{path}: {unknown[0]!r} is unknown", hint=hint)
    groups = content.get("groups")
    if not isinstance(groups, dict):
        raise ConfigurationError(f"{path} has no table [groups]", hint=hint)
    return {group: _members(path, group, members, hint) for group, members in groups.items()}


def _members(path: Path, group: str, members: object, hint: str) -> frozenset[str]:
    if not group.strip() or not isinstance(members, list) or not all(isinstance(m, str) and m.strip() for m in members):
        raise ConfigurationError(f"{path}: the group {group!r} is no list of names", hint=hint)
    return names.keys(member.strip() for member in members)
