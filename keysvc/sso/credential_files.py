"""Files of many credentials: CSV, or JSON lines. What is wrong is told with its line, and never with a value."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import abc
from dataclasses import dataclass, field
from typing import Any

import msgspec

from keysvc.crypto.credentials import MAXIMUM_FIELD_BYTES
from keysvc.crypto.unreadable import UNREADABLE
from keysvc.errors import InvalidInput, KeysvcError, NotFound
from keysvc.model import Application, NameRule, names
from keysvc.sso.config_store import refuse_config_store
from keysvc.sso.credential_writer import NewCredential
from keysvc.sso.credentials import labelled, same_label
from keysvc.text import NoText, decoded, repeats_a_name

MAXIMUM_BYTES = 256 * 2**20
MOST_FAULTS = 1000
_NEEDED = {"application": "application", "user": "user"}
_COLUMNS = {**_NEEDED, "externaluser": "external_user"}
HINT = "docs/how-to/import-credentials.md shows a file"


class _Object(msgspec.Struct, forbid_unknown_fields=True):
    application: str
    user: str
    fields: dict[str, str]
    external_user: str | None = None


_OBJECT = msgspec.json.Decoder(_Object)
_QUOTES = re.compile('"+')
_SPREADSHEET: abc.Mapping[str, tuple[re.Pattern[str], str]] = {
    "a formula of a spreadsheet": (re.compile(r'\s*="[^"]*"\s*'), 'write the text alone, 0012 and not ="0012"'),
    "an error of a spreadsheet": (
        re.compile(
            r"#(NAME\?|REF!|VALUE!|DIV/0!|NUM!|NULL!|N/A|NV|BEZUG!|WERT!|ZAHL!|NOM\s?\?|VALEUR!|NOMBRE!|NUL!)|##+"
        ),
        "write the value; JSON lines take any text as it stands",
    ),
    "a number that a spreadsheet has shortened": (
        re.compile(r"[0-9][.,][0-9]+E\+[0-9]{2,}"),
        "write all digits, in a column of text; JSON lines take any text as it stands",
    ),
}
"""What a spreadsheet made of a value, and what to do: whoever stored it would lock a user out."""


@dataclass(frozen=True, slots=True)
class Line:
    """One credential of a file, as it stands there."""

    number: int
    application: str
    user: str
    fields: abc.Mapping[str, str] = field(repr=False)
    external_user: str | None = None
    places: abc.Mapping[str, str] = field(default_factory=dict, repr=False)
    """In CSV: the number of the column of each field, for an error about it."""


def read_lines(content: bytes, source: str) -> abc.Sequence[Line]:
    """JSON lines when the file begins with `{`, else CSV with a header. UTF-8, or UTF-16 with its mark. Raises
    InvalidInput."""
    if len(content) > MAXIMUM_BYTES:
        raise InvalidInput(f"{source} is larger than {MAXIMUM_BYTES // 2**20} MiB", hint="split the file")
    text = _text(content, source)
    if not text.strip():
        raise InvalidInput(f"{source} is empty", hint=HINT)
    if text.lstrip().startswith("["):
        raise InvalidInput(f"{source} is a JSON array", hint="write JSON lines: an object on each line")
    faults: list[KeysvcError] = []
    found = list((_json_lines if text.lstrip().startswith("{") else _csv_lines)(text, source, faults))
    for line in found:
        for fault in _faults_of(line, source):
            _note(faults, fault)
    if faults:
        raise InvalidInput.of_all(faults)
    return found


def _text(content: bytes, source: str) -> str:
    if content.startswith(b"PK\3\4"):
        raise InvalidInput(f"{source} is a spreadsheet or another ZIP file", hint="save it as CSV in UTF-8")
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16") if utf_16 and not content.startswith(codecs.BOM_UTF32_LE) else decoded(content)
    except UnicodeDecodeError:
        pass
    except NoText as error:
        raise InvalidInput(f"{source}: {error}", hint=HINT) from None
    raise InvalidInput(f"{source} has the mark of UTF-16 and is not UTF-16", hint="save it as UTF-8")


def _note(faults: list[KeysvcError], fault: KeysvcError) -> None:
    """Raise what was found when it is enough: a file whose every line is wrong is not of this kind."""
    faults.append(fault)
    if len(faults) == MOST_FAULTS:
        raise InvalidInput.of_all(faults)


def _faults_of(line: Line, source: str) -> abc.Iterator[InvalidInput]:
    named = {"application": line.application, "user": line.user, "external user": line.external_user}
    for what, name in named.items():
        if name is None:
            continue
        if not 0 < len(name) <= names.MAXIMUM_LENGTH:
            yield _fault(source, line.number, f"the {what} is not 1 to {names.MAXIMUM_LENGTH} printable characters")
        elif hidden := _hidden(name):
            yield _fault(source, line.number, f"the {what} has {hidden}, which is not printable")
    for at, (label, value) in enumerate(line.fields.items(), 1):
        size = len(value.encode("utf-8", "surrogatepass"))
        if size > MAXIMUM_FIELD_BYTES:  # the label may be a value, where a file is mixed up
            place = line.places.get(label, f"field {at}")
            yield _fault(source, line.number, f"{place} is larger than {MAXIMUM_FIELD_BYTES} bytes")


def _hidden(text: str) -> str | None:
    """Return the first character that is not printable, as a code point."""
    return None if text.isprintable() else next((f"U+{ord(each):04X}" for each in text if not each.isprintable()), None)


def prepared(
    lines: abc.Iterable[Line], source: str, application: abc.Callable[[str], Application], rule: NameRule
) -> dict[str, list[NewCredential]]:
    """What to store, by application, in the order of the users. `application` is asked once for each. Raises
    InvalidInput."""
    definitions: dict[str, Application | KeysvcError] = {}
    found: dict[str, list[NewCredential]] = {}
    seen: dict[tuple[str, str], int] = {}
    faults: list[KeysvcError] = []
    for line in lines:
        definition = definitions.get(line.application)
        if definition is None:
            definition = definitions[line.application] = _definition(line.application, application)
        if isinstance(definition, KeysvcError):
            _note(faults, _fault(source, line.number, str(definition), definition.hint))
            continue
        try:
            values = labelled(definition, line.fields)
        except InvalidInput as error:  # names a label, and where a file is mixed up that is not one
            _note(faults, _fault(source, line.number, f"{line.application} has not those fields", error.hint))
            continue
        new = NewCredential.of(definition, line.user, values, line.external_user, f"{source} line {line.number}")
        same = definition.name, rule.key(new.user)
        if same in seen:
            _note(faults, _fault(source, line.number, f"the same application and user are on line {seen[same]}"))
            continue
        seen[same] = line.number
        found.setdefault(definition.name, []).append(new)
    if faults:
        raise InvalidInput.of_all(faults)
    for credentials in found.values():
        credentials.sort(key=lambda new: new.user)
    return found


def _definition(name: str, application: abc.Callable[[str], Application]) -> Application | KeysvcError:
    try:
        found = application(name)
        refuse_config_store(found)
    except (InvalidInput, NotFound) as error:
        return error
    return found


def _json_lines(text: str, source: str, faults: list[KeysvcError]) -> abc.Iterator[Line]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if not line.strip():
            continue
        try:
            read = _OBJECT.decode(line)
        except UNREADABLE:
            what = "it is no JSON object of application, user, fields (label to text) and, at most, external_user"
            _note(faults, _fault(source, number, what))
            continue
        if repeats_a_name(line):
            _note(faults, _fault(source, number, "the JSON object has a name twice"))
            continue
        fields = {label: value for label, value in read.fields.items() if value}
        yield Line(number, read.application.strip(), read.user.strip(), fields, _stripped(read.external_user))


def _csv_lines(text: str, source: str, faults: list[KeysvcError]) -> abc.Iterator[Line]:
    lines = io.StringIO(text, newline="")
    named = re.fullmatch(r'"?sep=(.)"?\s*', lines.readline(), re.IGNORECASE)  # spreadsheets write it, and read it
    before = 0 if named is None else 1
    text = text if named is None else lines.read()
    delimiter = _delimiter(text) if named is None else named[1]
    rows: Any = csv.reader(io.StringIO(_without_blanks(text, delimiter), newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    while True:
        number = rows.line_num + before + 1
        try:
            row = next(rows, None)
            if row is None:
                break
            if not any(cell.strip() for cell in row):
                continue
            if columns:
                yield _csv_line(row, columns, source, number)
            else:
                columns = _columns(row, source, number)
        except InvalidInput as fault:
            _note(faults, fault)
            if not columns:
                return
        except csv.Error as error:
            _note(faults, _fault(source, number, _reason(error)))
            return


def _delimiter(text: str) -> str:
    """Return the one that the header is written with: it parts the columns that every file has."""
    head = next((line for line in io.StringIO(text, newline=None) if line.strip(" ,;\t\n")), "")

    def columns(delimiter: str) -> tuple[int, int]:
        cells = {same_label(cell.strip(' "\n')) for cell in head.split(delimiter)}
        return len(cells & _NEEDED.keys()), head.count(delimiter)

    return max(",;\t", key=columns)


def _reason(error: csv.Error) -> str:
    """Return what is wrong, in words that the `csv` module has not. Its own hold no value."""
    told = str(error)
    if "limit" in told:
        return f"a cell is larger than {MAXIMUM_FIELD_BYTES} bytes, or a quote is missing"
    if "end of data" in told:
        return "not well-formed CSV: a cell in quotes has no end"
    if "expected after" in told:
        return "not well-formed CSV: text follows the closing quote of a cell"
    return "not well-formed CSV"


def _without_blanks(text: str, delimiter: str) -> str:
    """Return the text without the blanks between a delimiter and a cell in quotes."""
    if ' "' not in text:
        return text
    begins = re.compile(rf'(?:\A|(?<=[{re.escape(delimiter)}\r\n]))( *)"')
    parts, at = list[str](), 0
    while cell := begins.search(text, at):
        ends = _end_of_cell(text, cell.end())
        parts += text[at : cell.start()], text[cell.end(1) : ends]
        at = ends
    return "".join(parts) + text[at:]


def _end_of_cell(text: str, start: int) -> int:
    """Return where the cell ends whose opening quote is before `start`: two quotes are one that belongs to the cell."""
    return next((quotes.end() for quotes in _QUOTES.finditer(text, start) if len(quotes[0]) % 2), len(text))


def _columns(header: list[str], source: str, line: int) -> list[str]:
    """Return the names of the columns, those that every file has as this module calls them. Raises InvalidInput."""
    shown = [name.strip() for name in header]
    while not shown[-1]:
        shown.pop()
    columns = [_COLUMNS.get(same_label(name), name) for name in shown]
    for at, name in enumerate(columns, 1):
        if hidden := _hidden(name):
            raise _fault(source, line, f"the name of column {at} has {hidden}, which is not printable")
    if not {*_NEEDED.values()} <= set(columns):
        raise _fault(source, line, "the header has no columns application and user")
    if not all(columns):
        raise _fault(source, line, f"column {columns.index('') + 1} has no name")
    if len(set(map(same_label, columns))) != len(columns):
        raise _fault(source, line, "the header has a column twice")
    return columns


def _csv_line(row: abc.Sequence[str], columns: abc.Sequence[str], source: str, number: int) -> Line:
    """One line under the header. Raises InvalidInput."""
    if len(row) < len(columns) or any(cell.strip() for cell in row[len(columns) :]):
        raise _fault(source, number, f"{len(row)} cells, and the header has {len(columns)}")
    for at, cell in enumerate(row, 1):
        for what, (pattern, hint) in _SPREADSHEET.items():
            if pattern.fullmatch(cell):
                raise _fault(source, number, f"column {at} is {what}, not a value", hint)
    places = {column: f"column {at}" for at, column in enumerate(columns, 1)}
    cells = dict(zip(columns, row, strict=False))
    application, user = cells.pop("application").strip(), cells.pop("user").strip()
    external_user = _stripped(cells.pop("external_user", ""))
    fields = {label: value for label, value in cells.items() if value}
    return Line(number, application, user, fields, external_user, places)


def _stripped(name: str | None) -> str | None:
    return (name or "").strip() or None


def _fault(source: str, line: int, what: str, hint: str = HINT) -> InvalidInput:
    return InvalidInput(f"{source} line {line}: {what}", hint=hint)
