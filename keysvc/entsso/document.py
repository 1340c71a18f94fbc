"""XML from outside, parsed safely into nodes that know their line.

No DTD, hence no entities and nothing external; a limit to size, to depth and to the number of elements. The children of
the root are handed on one by one: a large file is never in memory as nodes.
"""

from __future__ import annotations

import re
from collections import abc
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

from defusedxml.expatreader import DefusedExpatParser

from keysvc.errors import InvalidInput

MAXIMUM_BYTES = 64 * 2**20
MAXIMUM_ELEMENTS = 2_000_000
MAXIMUM_DEPTH = 16
_CHUNK = 2**16
_MAXIMUM_TOKEN = 2**17
"""Of a tag or a comment: expat reads one that has no end yet again with every chunk."""
_OF_NAMESPACES = re.compile(r"xmlns$|(xmlns|xsi|xml):", re.IGNORECASE)  # tools put them everywhere; they say nothing
_NO_ATTRIBUTES: abc.Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Node:
    """One element. `title` is its name as written; the names of attributes are casefolded; `text` is stripped."""

    source: str
    line: int
    title: str
    attributes: abc.Mapping[str, str]
    children: tuple[Node, ...]
    text: str

    @property
    def name(self) -> str:
        """Its name without regard to case."""
        return self.title.casefold()

    def fault(self, what: str) -> InvalidInput:
        """The error that is raised for this element: where, and what is wrong."""
        return fault(self.source, self.line, what)


def fault(source: str, line: int, what: str) -> InvalidInput:
    """`FILE line N: what is wrong`."""
    return InvalidInput(f"{source} line {line}: {what}")


def shown(text: str) -> str:
    """A value from the file, quoted, short and without control characters, for an error message."""
    cut = text if len(text) <= 60 else f"{text[:60]}…"
    return "'" + "".join(character if character.isprintable() else "?" for character in cut) + "'"


Entry = abc.Callable[[Node, Node], None]
"""Takes the root as it begins, without children, and one child of it."""


def parse(content: bytes, source: str, entry: Entry | None = None) -> Node:
    """The root element, without the children that `entry` took. UTF-8, or what the byte order mark or the XML
    declaration says.

    Raises InvalidInput, which names `source` and the line, for everything that is not well-formed, safe and small.
    """
    if len(content) > MAXIMUM_BYTES:
        raise InvalidInput(f"{source} is larger than {MAXIMUM_BYTES // 2**20} MiB", hint="split the file")
    parser = _Parser(source)
    builder = _Builder(source, parser, entry)
    parser.setContentHandler(builder)
    try:
        for start in range(0, len(content), _CHUNK):
            parser.feed(content[start : start + _CHUNK])
            parser.refuse_long_token(start + _CHUNK)
        parser.close()
    except SAXParseException as error:
        raise fault(source, error.getLineNumber() or 1, f"not well-formed XML: {error.getMessage()}") from None
    except (LookupError, ValueError):
        # what Python's codecs raise for an encoding that expat does not know and they do not either
        raise fault(source, 1, "the encoding is unknown, or the text is not in it; write UTF-8") from None
    if builder.root is None:
        raise fault(source, 1, "no element found: the file is empty")
    return builder.root


class _Parser(DefusedExpatParser):  # type: ignore[misc]  # defusedxml has no types
    """Expat with every door shut; says on which line somebody tried one."""

    def __init__(self, source: str) -> None:
        super().__init__(forbid_dtd=True, forbid_entities=True, forbid_external=True)
        self._file = source

    def refuse_long_token(self, fed: int) -> None:
        """Raises InvalidInput. `fed` bytes were given to expat."""
        if self._parser is not None and fed - self._parser.CurrentByteIndex > _MAXIMUM_TOKEN:
            raise fault(
                self._file, self.getLineNumber() or 1, f"a tag or comment is longer than {_MAXIMUM_TOKEN} bytes"
            )

    def defused_start_doctype_decl(self, *_declaration: object) -> NoReturn:
        raise fault(self._file, self.getLineNumber(), "a DOCTYPE is not allowed, nor are entities of one's own")


@dataclass(slots=True)
class _Element:
    line: int
    title: str
    attributes: abc.Mapping[str, str]
    children: list[Node]
    text: list[str]


class _Builder(ContentHandler):
    """Makes the nodes, from the leaves up."""

    def __init__(self, source: str, place: Locator, entry: Entry | None) -> None:
        super().__init__()
        self._source = source
        self._place = place
        self._entry = entry
        self._open: list[_Element] = []
        self._count = 0
        self.root: Node | None = None

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802  SAX's name
        line = self._place.getLineNumber() or 1
        self._count += 1
        if len(self._open) >= MAXIMUM_DEPTH:
            raise fault(self._source, line, f"elements are nested more than {MAXIMUM_DEPTH} deep")
        if self._count > MAXIMUM_ELEMENTS:
            raise fault(self._source, line, f"more than {MAXIMUM_ELEMENTS} elements; split the file")
        attributes: dict[str, str] = {}
        for attribute, value in attrs.items():
            if _OF_NAMESPACES.match(attribute):
                continue
            if attribute.casefold() in attributes:
                raise fault(self._source, line, f"{shown(name)} has the attribute {shown(attribute)} twice")
            attributes[attribute.casefold()] = value.strip()
        self._open.append(_Element(line, name, attributes or _NO_ATTRIBUTES, [], []))

    def characters(self, content: str) -> None:
        self._open[-1].text.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802  SAX's name
        element = self._open.pop()
        text = "".join(element.text).strip()
        if text and element.children:
            raise fault(self._source, element.line, f"{shown(name)} has text between its elements")
        node = Node(self._source, element.line, element.title, element.attributes, tuple(element.children), text)
        if not self._open:
            self.root = node
        elif len(self._open) == 1 and self._entry is not None:
            root = self._open[0]
            self._entry(Node(self._source, root.line, root.title, root.attributes, (), ""), node)
        else:
            self._open[-1].children.append(node)
