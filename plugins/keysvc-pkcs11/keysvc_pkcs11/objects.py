"""What is sealed, kept as private data objects (CKO_DATA) of the token. Runs in the token's own process.

An object is created whole and never changed or replaced, only destroyed: what one master sealed, no other can lose.
"""

from __future__ import annotations

import time
from collections import abc
from typing import Any, TypeVar

from pkcs11.constants import Attribute, ObjectClass
from pkcs11.exceptions import ObjectHandleInvalid
from pkcs11.types import Object, Session

from keysvc_pkcs11.refusal import Refused

APPLICATION = "keysvc"
_LOOKS = 10
_PAUSE_SECONDS = 0.05

_Seen = TypeVar("_Seen")


class DataObjects:
    """Named by CKA_LABEL: system id, label of the key, and the entry's own name, with slashes between."""

    def __init__(self, session: Session, system_id: str, key_label: str) -> None:
        self._session = session
        self._prefix = f"{system_id}/{key_label}/"
        self._key_label = key_label

    def names(self) -> list[str]:
        """Of this system and key, ascending."""
        return sorted({label.removeprefix(self._prefix) for label in self._labels() if label.startswith(self._prefix)})

    def key_in_use(self) -> bool:
        """Whether any system keeps something under a key of this label."""
        return any(label.partition("/")[2].rpartition("/")[0] == self._key_label for label in self._labels())

    def get(self, name: str) -> bytes | None:
        """None when there is none. Raises Refused when two processes left two."""
        for _ in range(_LOOKS):
            contents = set(self._contents(name))
            if len(contents) <= 1:
                return contents.pop() if contents else None
            time.sleep(_PAUSE_SECONDS)  # of two that wrote at the same time, one takes its own back
        raise Refused(
            f"the token has two different objects {self._prefix}{name}",
            "two master secret servers wrote at the same time: remove the one that is not in use",
        )

    def put(self, name: str, content: bytes) -> None:
        """Whole and durable, or not there. The same again changes nothing. Raises Refused where there is another."""
        before = set(self._contents(name))
        if before == {content}:
            return
        if not before:
            created = self._session.create_object(
                {
                    **_template(self._prefix + name),
                    Attribute.TOKEN: True,
                    Attribute.PRIVATE: True,
                    Attribute.VALUE: content,
                }
            )
            if self._contents(name) == [content]:
                return
            created.destroy()
        raise Refused(
            f"the object {self._prefix}{name} is written by another process too",
            "there is only one master secret server: stop the other one, then try again",
        )

    def delete(self, name: str) -> bool:
        """Whether there was one."""
        return bool(self._search(_template(self._prefix + name), lambda found: found.destroy()))

    def _labels(self) -> list[str]:
        return self._search(_template(), lambda found: str(found[Attribute.LABEL]))

    def _contents(self, name: str) -> list[bytes]:
        return self._search(_template(self._prefix + name), lambda found: bytes(found[Attribute.VALUE]))

    def _search(self, template: dict[Attribute, Any], look: abc.Callable[[Object], _Seen]) -> list[_Seen]:
        """Looks again when another process destroys one of them meanwhile."""
        for _ in range(_LOOKS):
            try:
                return [look(found) for found in list(self._session.get_objects(template))]
            except ObjectHandleInvalid:
                continue
        raise ObjectHandleInvalid


def _template(label: str | None = None) -> dict[Attribute, Any]:
    template: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.DATA, Attribute.APPLICATION: APPLICATION}
    return template if label is None else {**template, Attribute.LABEL: label}
