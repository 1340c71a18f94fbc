"""Files of many credentials: CSV, or JSON lines. What is wrong is told with its line, and never with a value."""

from __future__ import annotations

import csv
import io
from collections import abc
from dataclasses import dataclass, field
from typing import Any

import msgspec

from keysvc.described import UNREADABLE, described
from keysvc.errors import InvalidInput, KeysvcError
from keysvc.model import Application, names
from keysvc.sso.config_store import refuse_config_store
from keysvc.sso.credential_writer import NewCredential
from keysvc.sso.credentials import labelled, same_label

MAXIMUM_BYTES = 256 * 2**20
_NEEDED = {"application": "application", "user": "user"}
_COLUMNS = {**_NEEDED, "externaluser": "external_user"}
HINT = "docs/how-to/import-credentials.md shows a file"


class _Object(msgspec.Struct, forbid_unknown_fields=True):
    application: str
    user: str
    fields: dict[str, str]
    external_user: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One credential of a file, as it stands there."""

    number: int
    application: str
    user: str
    fields: abc.Mapping[str, str] = field(repr=False)
    external_user: str | None = None


def read_lines(content: bytes, source: str) -> abc.Sequence[Line]:
    """JSON lines when the file begins with `{`, else CSV with a header. UTF-8, or UTF-16 with its mark. Raises
    InvalidInput."""
    if len(content) > MAXIMUM_BYTES:
        raise InvalidInput(f"{source} is larger than {MAXIMUM_BYTES // 2**20} MiB", hint="split the file")
    try:
        utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    if not text.strip():
        raise InvalidInput(f"{source} is empty, or no text in UTF-8", hint=HINT)
    found = list(_json_lines(text, source) if text.lstrip().startswith("{") else _csv_lines(text, source))
    for line in found:
        named = {"application": line.application, "user": line.user, "external user": line.external_user}
        for what, name in named.items():
            if name is not None and not (0 < len(name) <= names.MAXIMUM_LENGTH and name.isprintable()):
                raise _fault(source, line.number, f"the {what} is not 1 to {names.MAXIMUM_LENGTH} printable characters")
    return found


def prepared(
    lines: abc.Iterable[Line], source: str, application: abc.Callable[[str], Application]
) -> dict[str, list[NewCredential]]:
    """What to store, by application, in the order of the users. `application` is asked once for each. Raises
    InvalidInput."""
    definitions: dict[str, Application] = {}
    found: dict[str, list[NewCredential]] = {}
    seen: dict[tuple[str, str], int] = {}
    for line in lines:
        try:
            if line.application not in definitions:
                definitions[line.application] = application(line.application)
            definition = definitions[line.application]
            refuse_config_store(definition)
        except KeysvcError as error:
            raise _fault(source, line.number, str(error), error.hint) from None
        try:
            values = labelled(definition, line.fields)
        except InvalidInput as error:  # names a label, and where a file is mixed up that is not one
            raise _fault(source, line.number, f"{line.application} has not those fields", error.hint) from None
        new = NewCredential.of(definition, line.user, values, line.external_user, f"{source} line {line.number}")
        same = line.application, names.key(new.user)
        if same in seen:
            raise _fault(source, line.number, f"the same application and user are on line {seen[same]}")
        seen[same] = line.number
        found.setdefault(line.application, []).append(new)
    for credentials in found.values():
        credentials.sort(key=lambda new: new.user)
    return found


def _json_lines(text: str, source: str) -> abc.Iterator[Line]:
    decoder = msgspec.json.Decoder(described(_Object))
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            read = decoder.decode(line)
        except UNREADABLE:
            what = "it is no JSON object of application, user, fields (label to text) and, at most, external_user"
            raise _fault(source, number, what) from None
        yield Line(number, read.application.strip(), read.user.strip(), read.fields, _stripped(read.external_user))


def _csv_lines(text: str, source: str) -> abc.Iterator[Line]:
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows: Any = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(rows)]
        columns = [_COLUMNS.get(same_label(name), name) for name in header]
        if not {*_NEEDED.values()} <= set(columns):
            raise _fault(source, 1, "the header has no columns application and user")
        if len(set(map(same_label, columns))) != len(columns):
            raise _fault(source, 1, "the header has a column twice")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(columns):
                raise _fault(source, rows.line_num, f"{len(row)} cells, and the header has {len(columns)}")
            cells = dict(zip(columns, row, strict=True))
            application, user = cells.pop("application").strip(), cells.pop("user").strip()
            external_user = _stripped(cells.pop("external_user", ""))
            fields = {label: value for label, value in cells.items() if value}
            yield Line(rows.line_num, application, user, fields, external_user)
    except csv.Error:
        raise _fault(source, rows.line_num, "not well-formed CSV") from None


def _stripped(name: str | None) -> str | None:
    return (name or "").strip() or None


def _fault(source: str, line: int, what: str, hint: str = HINT) -> InvalidInput:
    return InvalidInput(f"{source} line {line}: {what}", hint=hint)
