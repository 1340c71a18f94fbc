"""`pkcs11:` URLs, as RFC 7512 defines them, and the few attributes of our own."""

from __future__ import annotations

import re
from collections import abc
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from keysvc.plugin import ConfigurationError

OPTIONS = {
    "module-path": "the absolute path of the token's PKCS#11 library",
    "module-name": "the library's name instead, such as softhsm2 for libsofthsm2.so in a usual directory",
    "pin-source": "file:/PATH, env:NAME or credential:NAME; without it the operator is asked",
    "pin-value": "refused: a PIN does not belong into a configuration file",
    "allow-extractable-kek": "yes: accept a KEK that could leave the token, or was once outside",
    "timeout": "seconds that one call of the library may take before it is stopped; 30",
}
"""The query attributes."""

_TOKEN = ("token", "manufacturer", "serial", "model")
_LIBRARY = ("library-manufacturer", "library-description", "library-version")
_SLOT = ("slot-manufacturer", "slot-description", "slot-id")
_PATH = (*_TOKEN, *_LIBRARY, *_SLOT, "object", "id", "type")
_EXAMPLE = "write pkcs11:token=TOKEN;object=KEY?module-path=/usr/lib/…/libsofthsm2.so&pin-source=file:/…"
_MODULE_DIRECTORIES = (
    "/usr/lib/x86_64-linux-gnu/pkcs11",
    "/usr/lib/aarch64-linux-gnu/pkcs11",
    "/usr/lib/x86_64-linux-gnu/softhsm",
    "/usr/lib/aarch64-linux-gnu/softhsm",
    "/usr/lib64/pkcs11",
    "/usr/lib64/softhsm",
    "/usr/lib/pkcs11",
    "/usr/lib/softhsm",
    "/usr/local/lib/softhsm",
    "/opt/homebrew/lib/softhsm",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
)


@dataclass(frozen=True, slots=True)
class TokenURI:
    """Which library, which token, which key. Holds no secret.

    `matching` has the other path attributes, which a token, its slot and its library must match when given. `slot_id`
    only decides between tokens that all match: slot numbers move when a token is added.
    """

    text: str
    module: str
    key_label: str
    key_id: bytes
    matching: abc.Mapping[str, str]
    slot_id: int | None
    pin_source: str
    allow_extractable: bool
    timeout: float

    @classmethod
    def parse(cls, url: str) -> TokenURI:
        """Raises ConfigurationError, which does not repeat the URL."""
        path, _, query = url.partition(":")[2].partition("?")
        if "pin-value" in path or "pin-value" in query:
            raise ConfigurationError(
                "pkcs11: a PIN does not belong into a URL: pin-value is refused",
                hint="put the PIN into a file of mode 0600 and write pin-source=file:/…, or leave it out to be asked",
            )
        attributes = _attributes(path, ";", _PATH)
        options = _attributes(query, "&", tuple(OPTIONS))
        matching = {name: _text(name, attributes[name]) for name in _PATH if name in attributes and _selects(name)}
        if not matching.keys() & {"token", "serial"}:
            raise ConfigurationError(
                "pkcs11: names no token: slot numbers move, labels and serials do not", hint=_EXAMPLE
            )
        if not attributes.get("object"):
            raise ConfigurationError("pkcs11: names no key (object=LABEL)", hint=_EXAMPLE)
        if attributes.get("type", b"secret-key") != b"secret-key":
            raise ConfigurationError("pkcs11: the key is a secret key: leave type out, or write type=secret-key")
        return cls(
            text=url,
            module=_module(options),
            key_label=_text("object", attributes["object"]),
            key_id=attributes.get("id", b""),
            matching=matching,
            slot_id=_slot_id(attributes),
            pin_source=_pin_source(options),
            allow_extractable=_yes("allow-extractable-kek", options),
            timeout=_seconds("timeout", options),
        )

    @property
    def token_name(self) -> str:
        """How messages call the token."""
        serial = self.matching.get("serial")
        return " ".join(filter(None, [self.matching.get("token", ""), serial and f"(serial {serial})"]))


def _selects(name: str) -> bool:
    return name not in ("object", "id", "type", "slot-id")


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if name not in known:
            raise ConfigurationError(f"pkcs11: has no attribute {name!r}", hint=f"known: {', '.join(known)}")
        if name in found:
            raise ConfigurationError(f"pkcs11: {name} is given twice")
        if not equals or re.search(r"%(?![0-9A-Fa-f]{2})", value):
            raise ConfigurationError(f"pkcs11: the value of {name} is not percent-encoded (RFC 7512)")
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"pkcs11: {name} is not UTF-8") from None


def _slot_id(attributes: abc.Mapping[str, bytes]) -> int | None:
    text = attributes.get("slot-id")
    if text is None:
        return None
    if not re.fullmatch(rb"[0-9]{1,10}", text) or not int(text) < 1 << 32:  # CK_ULONG is 32 bits wide on Windows
        raise ConfigurationError("pkcs11: slot-id is a decimal number below 4294967296")
    return int(text)


def _module(options: abc.Mapping[str, bytes]) -> str:
    path, name = (
        _text("module-path", options.get("module-path", b"")),
        _text("module-name", options.get("module-name", b"")),
    )
    if bool(path) == bool(name):
        raise ConfigurationError("pkcs11: needs module-path or module-name, and not both", hint=_EXAMPLE)
    if path:
        if not Path(path).is_absolute():
            raise ConfigurationError("pkcs11: module-path is an absolute path", hint=_EXAMPLE)
        return path
    if "/" in name or "\\" in name:
        raise ConfigurationError("pkcs11: module-name is a name without a path", hint="use module-path for a path")
    for directory in _MODULE_DIRECTORIES:
        for file in (f"lib{name}.so", f"{name}.so", f"lib{name}.dylib", f"{name}.dylib"):
            if (Path(directory) / file).is_file():
                return f"{directory}/{file}"
    raise ConfigurationError(f"pkcs11: no library named {name} was found", hint="write module-path=/… instead")


def _pin_source(options: abc.Mapping[str, bytes]) -> str:
    source = _text("pin-source", options.get("pin-source", b""))
    if not re.fullmatch(r"(file:/.+|env:.+|credential:.+)?", source):
        raise ConfigurationError(
            "pkcs11: pin-source is file:/PATH, env:NAME or credential:NAME", hint="leave it out to be asked"
        )
    return source


def _yes(name: str, options: abc.Mapping[str, bytes]) -> bool:
    if options.get(name, b"no") not in (b"yes", b"no"):
        raise ConfigurationError(f"pkcs11: {name} is yes or no")
    return options.get(name) == b"yes"


def _seconds(name: str, options: abc.Mapping[str, bytes]) -> float:
    text = _text(name, options.get(name, b"30"))
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text) or not float(text):
        raise ConfigurationError(f"pkcs11: {name} is a number of seconds, such as 30")
    return float(text)
