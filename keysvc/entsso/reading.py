"""Understands Enterprise SSO's XML, strictly: what is not known is refused with its line, never skipped.

docs/reference/entsso-xml.md lists what is known.
"""

from __future__ import annotations

import re
from collections import abc
from dataclasses import dataclass

from keysvc.entsso.definitions import (
    FLAGS,
    NUMBER_SETTINGS,
    SWITCH,
    TEXT_SETTINGS,
    TICKET_TIMEOUT,
    ApplicationDefinition,
    MappingDefinition,
    SettingsDefinition,
)
from keysvc.entsso.document import Node, fault, parse, shown
from keysvc.errors import InvalidInput
from keysvc.model import MAXIMUM_FIELDS, Field, names

MAXIMUM_TEXT_LENGTH = 4096
MAXIMUM_NUMBER = 100_000

_GROUP, _CONFIG_STORE = "groupapp", "configstoreapp"
_FLAGS = {name.casefold(): flag for name, flag in FLAGS.items()}
_OLD_NAMES = {
    "usergroup": "appuseraccount",
    "appusergroup": "appuseraccount",
    "appadmingroup": "appadminaccount",
    "ssoadmingroup": "ssoadminaccount",
    "ssoaffiliateadmingroup": "ssoaffiliateadminaccount",
}
_UNSUPPORTED = {"windowscreds", "restrictedcreds", "showfilteronly", "restrictmappingcreate", "groupadapter"}
_OLD_FLAGS = {
    "allowlocalgroups": "allowlocalaccounts",
    "admingroupsame": "adminaccountsame",
    "tickettimeout": "timeouttickets",
}
_TIMEOUT = TICKET_TIMEOUT.casefold()
_APPLICATION = {
    "description",
    "contact",
    "appuseraccount",
    "appadminaccount",
    "windowsaccount",
    _TIMEOUT,
    "field",
    "flags",
}
_MAPPING = {"windowsdomain", "windowsuserid", "externalapplication", "externaluserid", "externalcredentials"}
_TEXT_SETTINGS = {name.casefold(): setting for name, setting in TEXT_SETTINGS.items()}
_NUMBER_SETTINGS = {name.casefold(): setting for name, setting in NUMBER_SETTINGS.items()}
_COMMANDS = {
    "application": "keysvc app import FILE",
    "globalinfo": "keysvc app import FILE",
    "mapping": "keysvc mapping import FILE",
}
KINDS = tuple(_COMMANDS)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

Parts = abc.Mapping[str, abc.Sequence[Node]]


Definition = ApplicationDefinition | MappingDefinition | SettingsDefinition


@dataclass(frozen=True, slots=True)
class Definitions:
    """What a file holds: one kind of content, in the order of the file."""

    applications: tuple[ApplicationDefinition, ...] = ()
    mappings: tuple[MappingDefinition, ...] = ()
    settings: SettingsDefinition | None = None


def read(content: bytes, source: str, wanted: abc.Collection[str] = KINDS) -> Definitions:
    """What the file holds, of the kinds that are `wanted`. Raises InvalidInput."""
    found: list[Definition] = []
    kinds: list[str] = []
    readers: dict[str, abc.Callable[[Node], Definition]] = {
        "application": _application,
        "mapping": _mapping,
        "globalinfo": _settings,
    }

    def take(root: Node, node: Node) -> None:
        _check_root(root)
        kind = kinds[0] if kinds else node.name
        if node.name in KINDS and (node.name not in wanted or node.name != kind):
            belonging = kind if kinds else _title(wanted)
            error = node.fault(f"<{node.title}> does not belong into a file of <{belonging}>")
            raise InvalidInput(str(error), hint=f"put it into a file of its own: {_COMMANDS[node.name]}")
        if node.name not in wanted:
            raise node.fault(f"{shown(node.title)} is not known within <{root.title}>; known: {_list(set(wanted))}")
        if kind == "globalinfo" and kinds:
            raise node.fault("a second <globalInfo>; a system has one")
        kinds.append(kind)
        found.append(readers[kind](node))

    root = parse(content, source, take)
    _check_root(root)
    if not found:
        raise root.fault(f"<{root.title}> holds no <{_title(wanted)}>")
    applications = tuple(each for each in found if isinstance(each, ApplicationDefinition))
    _refuse_twice(source, applications)
    mappings = tuple(each for each in found if isinstance(each, MappingDefinition))
    settings = next((each for each in found if isinstance(each, SettingsDefinition)), None)
    return Definitions(applications, mappings, settings)


def read_applications(content: bytes, source: str) -> tuple[ApplicationDefinition, ...]:
    """Every `<application>`. Raises InvalidInput."""
    return read(content, source, ("application",)).applications


def read_mappings(content: bytes, source: str) -> tuple[MappingDefinition, ...]:
    """Every `<mapping>`; one may be there twice. Raises InvalidInput."""
    return read(content, source, ("mapping",)).mappings


def _check_root(root: Node) -> None:
    if root.name != "sso":
        raise root.fault(f"the root is {shown(root.title)}; a file of Enterprise SSO begins with <sso>")
    _parts(root)


def _refuse_twice(source: str, applications: abc.Iterable[ApplicationDefinition]) -> None:
    """Those that differ in case alone are one where the system says so: the import refuses them."""
    lines: dict[str, int] = {}
    for each in applications:
        same = names.key(each.name, folded=False)
        if same in lines:
            raise fault(source, each.line, f"{shown(each.name)} is there already, on line {lines[same]}")
        lines[same] = each.line


def _title(wanted: abc.Collection[str]) -> str:
    return "> or <".join(wanted)


# -- the parts of a file -------------------------------------------------------------------------------------------


def _settings(node: Node) -> SettingsDefinition:
    parts = _parts(node, children={*_TEXT_SETTINGS, *_NUMBER_SETTINGS})
    given: dict[str, str | int] = {}
    for name, setting in _TEXT_SETTINGS.items():
        if (part := _only_one(parts, name)) is not None:
            given[setting] = _name(part, f"<{part.title}>", _text(part))
    for name, setting in _NUMBER_SETTINGS.items():
        if (part := _only_one(parts, name)) is not None:
            given[setting] = _number(part, f"<{part.title}>", _text(part), MAXIMUM_NUMBER)
    return SettingsDefinition(given, node.line)


def _application(node: Node) -> ApplicationDefinition:
    parts = _parts(node, attributes={"name"}, children=_APPLICATION)
    users, windows = parts.get("appuseraccount"), _only_one(parts, "windowsaccount")
    if windows is not None and users:
        raise users[0].fault(f"an application has accounts of users or, on line {windows.line}, <windowsAccount>")
    flags_node = _only_one(parts, "flags")
    flags = {} if flags_node is None else _flags(flags_node)
    timeout = _ticket_timeout(_only_one(parts, _TIMEOUT), flags_node)
    group, config_store = flags.pop(_GROUP, None), flags.pop(_CONFIG_STORE, None)
    if config_store and (group or windows is not None):
        raise (flags_node or node).fault("configStoreApp excludes groupApp and <windowsAccount>: one type only")
    return ApplicationDefinition(
        name=_name(node, "the name of an application", _attribute(node, "name")),
        line=node.line,
        description=_optional_text(parts, "description"),
        contact=_optional_text(parts, "contact"),
        user_accounts=_accounts([windows] if windows is not None else users),
        administrator_accounts=_accounts(parts.get("appadminaccount")),
        fields=_fields(parts["field"]) if "field" in parts else None,
        flags=flags,
        group=group,
        config_store=config_store,
        has_windows_account=windows is not None,
        ticket_timeout_minutes=timeout,
    )


def _accounts(nodes: abc.Sequence[Node] | None) -> tuple[str, ...] | None:
    if nodes is None:
        return None
    found = [
        _name(node, f"an account in <{node.title}>", account.strip())
        for node in nodes
        for account in _text(node).split(";")
        if account.strip()
    ]
    if nodes[0].name == "windowsaccount" and len(found) != 1:
        raise nodes[0].fault("<windowsAccount> names exactly one account")
    return tuple(dict.fromkeys(found))


def _fields(nodes: abc.Sequence[Node]) -> tuple[Field, ...]:
    found: dict[int, tuple[Node, Field]] = {}
    lines: dict[str, int] = {}
    for node in nodes:
        _parts(node, attributes={"ordinal", "label", "masked", "synchronized"})
        if "synchronized" in node.attributes:
            _flag(node, "synchronized")
        ordinal = _number(node, "the ordinal of a field", _attribute(node, "ordinal"), MAXIMUM_FIELDS - 1)
        label = _name(node, "the label of a field", _attribute(node, "label"))
        if ordinal in found:
            raise node.fault(f"field ordinal {ordinal} is there already, on line {found[ordinal][0].line}")
        # credentials are asked for by label, and there blanks and hyphens do not count
        same = names.key(re.sub(r"[\s\-_]", "", label))
        if not same or same in lines:
            where = f"differs too little from the one on line {lines[same]}" if same else "has no letter"
            raise node.fault(f"the label {shown(label)} {where}")
        lines[same] = node.line
        masked = _flag(node, "masked") if "masked" in node.attributes else ordinal > 0
        found[ordinal] = (node, Field(label, masked))
    missing = next((ordinal for ordinal in range(len(found)) if ordinal not in found), None)
    if missing is not None:
        what = "the user id" if missing == 0 else "ordinals follow each other without a gap"
        raise nodes[0].fault(f"field ordinal {missing} is missing: {what}")
    return tuple(found[ordinal][1] for ordinal in range(len(found)))


def _ticket_timeout(element: Node | None, flags: Node | None) -> int | None:
    """An element of its own, or among the flags."""
    if element is not None:
        return _number(element, f"<{element.title}>", _text(element), MAXIMUM_NUMBER)
    if flags is not None and _TIMEOUT in flags.attributes:
        return _number(flags, TICKET_TIMEOUT, flags.attributes[_TIMEOUT], MAXIMUM_NUMBER)
    return None


def _flags(node: Node) -> dict[str, bool]:
    _parts(node, attributes={*_FLAGS, *_OLD_FLAGS, _GROUP, _CONFIG_STORE, _TIMEOUT, *_UNSUPPORTED})
    switches: dict[str, bool] = {}
    for given in node.attributes:
        name = _OLD_FLAGS.get(given, given)
        if name in switches:
            raise node.fault(f"the flag {given} is another name of one that is there already")
        if name != _TIMEOUT:
            switches[name] = _flag(node, given)
    for name in _UNSUPPORTED:
        if switches.pop(name, False):
            raise node.fault(f"keysvc has nothing like the flag {name}; it must be no")
    return {_FLAGS.get(name, name): value for name, value in switches.items()}


def _mapping(node: Node) -> MappingDefinition:
    parts = _parts(node, children=_MAPPING)
    credentials = _only_one(parts, "externalcredentials")
    if credentials is not None and (credentials.text or credentials.children or credentials.attributes):
        error = credentials.fault("a file of mappings holds no credentials: nothing of them was read")
        raise InvalidInput(str(error), hint="take them out of the file; they are set with keysvc credential set")
    domain, user = _name_in(parts, "windowsdomain"), _name_in(parts, "windowsuserid")
    application, external_user = _name_in(parts, "externalapplication"), _name_in(parts, "externaluserid")
    if application is None or (user is None and external_user is None):
        raise node.fault(f"<{node.title}> has no <{'windowsUserId' if application else 'externalApplication'}>")
    if domain is not None and user is not None:
        if "\\" in domain + user:
            raise node.fault("a domain, and a user id beside one, has no backslash")
        user = _name(node, "the user with his domain", f"{domain}\\{user}")
    return MappingDefinition(application, user, external_user, node.line)


# -- what all of them share ----------------------------------------------------------------------------------------


def _parts(node: Node, *, attributes: abc.Set[str] = frozenset(), children: abc.Set[str] = frozenset()) -> Parts:
    """The children by name, an old name as the new one. Refuses whatever is not known, and text."""
    for attribute in node.attributes:
        if attribute not in attributes:
            raise node.fault(f"<{node.title}> has no attribute {shown(attribute)}; known: {_list(attributes)}")
    parts: dict[str, list[Node]] = {}
    for child in node.children:
        name = _OLD_NAMES.get(child.name, child.name)
        if name not in children:
            raise child.fault(f"{shown(child.title)} is not known within <{node.title}>; known: {_list(children)}")
        parts.setdefault(name, []).append(child)
    if node.text:
        raise node.fault(f"<{node.title}> has text where none belongs")
    return parts


def _list(names: abc.Set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _only_one(parts: Parts, name: str) -> Node | None:
    nodes = parts.get(name, ())
    if len(nodes) > 1:
        raise nodes[1].fault(f"<{nodes[1].title}> is there already, on line {nodes[0].line}")
    return nodes[0] if nodes else None


def _text(node: Node) -> str:
    if node.attributes or node.children:
        raise node.fault(f"<{node.title}> holds text only, no elements and no attributes")
    return node.text


def _optional_text(parts: Parts, name: str) -> str | None:
    node = _only_one(parts, name)
    if node is None:
        return None
    text = " ".join(_text(node).split())
    if len(text) > MAXIMUM_TEXT_LENGTH or _CONTROL.search(text):
        raise node.fault(f"<{node.title}> is at most {MAXIMUM_TEXT_LENGTH} characters without control characters")
    return text


def _attribute(node: Node, name: str) -> str:
    try:
        return node.attributes[name]
    except KeyError:
        raise node.fault(f"<{node.title}> has no attribute {shown(name)}") from None


def _name_in(parts: Parts, name: str) -> str | None:
    node = _only_one(parts, name)
    return None if node is None else _name(node, f"<{node.title}>", _text(node))


def _name(node: Node, what: str, name: str) -> str:
    if not name or len(name) > names.MAXIMUM_LENGTH or not name.isprintable():
        raise node.fault(f"{what} must be 1 to {names.MAXIMUM_LENGTH} printable characters, not {shown(name)}")
    return name


def _number(node: Node, what: str, text: str, maximum: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > maximum:
        raise node.fault(f"{what} must be a number from 0 to {maximum}, not {shown(text)}")
    return int(text)


def _flag(node: Node, name: str) -> bool:
    value = node.attributes[name]
    if value.casefold() not in SWITCH:
        raise node.fault(f"the flag {name} must be yes or no, not {shown(value)}")
    return SWITCH[value.casefold()]
