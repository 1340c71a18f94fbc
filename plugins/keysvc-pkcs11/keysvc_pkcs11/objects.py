"""What is sealed, kept as private data objects (CKO_DATA) of the token. Runs in the token's own process.

An object is never changed: a new one is created, looked at, and only then the old one destroyed. Its value begins with
a generation (uint32), so that after a crash between the two the newer one counts, which is whole.
"""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from typing import Any

from pkcs11.constants import Attribute, ObjectClass
from pkcs11.types import Object, Session

from keysvc_pkcs11.refusal import Refused

APPLICATION = "keysvc"
_GENERATION_BYTES = 4


@dataclass(frozen=True, slots=True)
class _Entry:
    object: Object
    generation: int
    content: bytes


class DataObjects:
    """Named by CKA_LABEL: system id, key, and the entry's own name, with slashes between."""

    def __init__(self, session: Session, system_id: str, key_name: str) -> None:
        self._session = session
        self._prefix = f"{system_id}/{key_name}/"
        self._key_name = key_name

    def names(self) -> list[str]:
        """Of this system and key, ascending."""
        labels = (found[Attribute.LABEL] for found in self._session.get_objects(_template()))
        return sorted({label.removeprefix(self._prefix) for label in labels if label.startswith(self._prefix)})

    def key_in_use(self) -> bool:
        """Whether any system keeps something under a key of this name."""
        labels = (found[Attribute.LABEL] for found in self._session.get_objects(_template()))
        return any(label.partition("/")[2].rpartition("/")[0] == self._key_name for label in labels)

    def get(self, name: str) -> bytes | None:
        """None when there is none. Raises Refused when two processes left two."""
        newest = self._newest(name)
        if not newest:
            return None
        if len({entry.content for entry in newest}) > 1:
            raise Refused(
                f"the token has two different objects {self._prefix}{name}",
                "two master secret servers wrote at the same time: remove the one that is not in use",
            )
        return newest[0].content

    def put(self, name: str, content: bytes) -> None:
        """Whole, or not there. The same again changes nothing. Raises Refused when another writes at the same time."""
        before = self._newest(name)
        if before and all(entry.content == content for entry in before):
            return
        generation = before[0].generation + 1 if before else 1
        value = generation.to_bytes(_GENERATION_BYTES, "big") + content
        created = self._session.create_object(
            {
                **_template(self._prefix + name),
                Attribute.TOKEN: True,
                Attribute.PRIVATE: True,
                Attribute.VALUE: value,
            }
        )
        newest = self._newest(name)
        if [(entry.generation, entry.content) for entry in newest] != [(generation, content)]:
            created.destroy()
            raise Refused(
                f"the object {self._prefix}{name} does not read back as written: another process writes it too",
                "there is only one master secret server; stop the other one, then try again",
            )
        self._destroy(name, below=generation)

    def delete(self, name: str) -> bool:
        """Whether there was one."""
        return self._destroy(name, below=None)

    def _destroy(self, name: str, below: int | None) -> bool:
        doomed = [entry for entry in self._entries(name) if below is None or entry.generation < below]
        for entry in doomed:
            entry.object.destroy()
        return bool(doomed)

    def _newest(self, name: str) -> list[_Entry]:
        entries = list(self._entries(name))
        last = max((entry.generation for entry in entries), default=0)
        return [entry for entry in entries if entry.generation == last]

    def _entries(self, name: str) -> abc.Iterator[_Entry]:
        for found in list(self._session.get_objects(_template(self._prefix + name))):
            value = bytes(found[Attribute.VALUE])
            yield _Entry(found, int.from_bytes(value[:_GENERATION_BYTES], "big"), value[_GENERATION_BYTES:])


def _template(label: str | None = None) -> dict[Attribute, Any]:
    template: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.DATA, Attribute.APPLICATION: APPLICATION}
    return template if label is None else {**template, Attribute.LABEL: label}
