"""The authorizers `ldaps:`, `ldap:` (with STARTTLS) and `ldapi:` (a UNIX socket): groups of an LDAP directory."""

from __future__ import annotations

import re
from collections import abc
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from keysvc.plugin import Authorizer, ConfigurationError, Opening, Register, SecretText, hookimpl

KEYSVC_API = 2
SECONDS = 5.0
PORTS = {"ldap": 389, "ldaps": 636}
MAXIMUM_SECONDS = 60.0

OPTIONS = {
    "bind-dn": "DN to bind as; anonymous without",
    "password-source": "file:/PATH or env:NAME, where the password of bind-dn is",
    "user-attribute": "attribute with somebody's name: uid (the default), sAMAccountName",
    "group-base": "DN that groups are below; the base unless given",
    "group-attribute": "attribute with a group's name: cn (the default), sAMAccountName",
    "groups": "search (the default): groups that name their members; memberof: members that name their groups",
    "member-attribute": "attribute in which a group names its members: member (the default), uniqueMember, memberUid",
    "domain": "put before names of groups, as DOMAIN\\group, and taken off names of people",
    "seconds": "how long one question may take, connecting included; 5 unless given",
}
TLS = {"ca-file": "PEM file of the certificate authorities to trust instead of the system's"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a URL says. `uri` is the server's own; a UNIX socket has no `host`."""

    uri: str
    host: str
    port: int
    base: str
    group_base: str
    bind_dn: str
    password: SecretText
    user_attribute: str
    group_attribute: str
    member_attribute: str
    by_search: bool
    domain: str
    seconds: float
    ca_file: str
    start_tls: bool


@hookimpl
def keysvc_authorizers(register: Register[Authorizer]) -> None:
    """Register `ldaps:`, `ldap:` and `ldapi:`."""
    register("ldaps", open_ldap, summary="groups of an LDAP directory, over TLS", options={**OPTIONS, **TLS})
    register("ldap", open_ldap, summary="groups of an LDAP directory, with STARTTLS", options={**OPTIONS, **TLS})
    register("ldapi", open_ldap, summary="groups of an LDAP directory on a UNIX socket", options=OPTIONS)


def open_ldap(opening: Opening) -> Authorizer:
    """Connects to nothing yet. Raises ConfigurationError, and what the prompt raises."""
    from keysvc_ldap.authorizer import LDAPAuthorizer

    location, options = opening.location, opening.location.options
    (uri, host, port), base = _server(location.scheme, location.reveal()), location.path.strip("/")
    if not base:
        raise ConfigurationError(
            f"{location.scheme}: needs the DN that people and groups are below",
            hint=f"write {location.scheme}://HOST/dc=example,dc=com",
        )
    how = options.get("groups", "search")
    if how not in {"search", "memberof"}:
        raise ConfigurationError(f"groups is search or memberof, not {how!r}")
    bind_dn = options.get("bind-dn", "")
    return LDAPAuthorizer(
        Settings(
            uri,
            host,
            port,
            base,
            options.get("group-base", base),
            bind_dn,
            opening.prompt("password") if bind_dn else SecretText(""),
            _attribute(options, "user-attribute", "uid"),
            _attribute(options, "group-attribute", "cn"),
            _attribute(options, "member-attribute", "member"),
            how == "search",
            options.get("domain", ""),
            _seconds(options.get("seconds")),
            _ca_file(options.get("ca-file")),
            start_tls=location.scheme == "ldap",
        )
    )


def _server(scheme: str, url: str) -> tuple[str, str, int]:
    """The server's own URL, without base and options; its host and port."""
    parts = urlsplit(url)
    try:
        port = parts.port if scheme != "ldapi" else None
    except ValueError:
        raise ConfigurationError(f"{scheme}: needs a port between 1 and 65535, if any") from None
    if "@" in parts.netloc or parts.fragment:
        raise ConfigurationError(f"{scheme}: takes no user and no #", hint="give bind-dn=DN&password-source=file:/PATH")
    if scheme == "ldapi":
        if parts.netloc and not unquote(parts.netloc).startswith("/"):
            raise ConfigurationError(
                "ldapi: takes the path of a socket", hint="write ldapi://%2Frun%2Fslapd%2Fldapi/DN"
            )
        return f"ldapi://{parts.netloc}", "", 0
    if not parts.hostname:
        raise ConfigurationError(f"{scheme}: needs a host", hint=f"write {scheme}://HOST/dc=example,dc=com")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    uri = f"{scheme}://{host}" + (f":{port}" if port is not None else "")
    return uri, parts.hostname, port if port is not None else PORTS[scheme]


def _attribute(options: abc.Mapping[str, str], option: str, otherwise: str) -> str:
    name = options.get(option, otherwise)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name):
        raise ConfigurationError(f"{option} is the name of an attribute, not {name!r}")
    return name


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text) if text is not None else SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAXIMUM_SECONDS:
        raise ConfigurationError(f"seconds is a number up to {MAXIMUM_SECONDS:.0f}")
    return seconds


def _ca_file(text: str | None) -> str:
    if text is None:
        return ""
    path = Path(text)
    if not path.is_absolute() or not path.is_file():
        raise ConfigurationError("ca-file needs the absolute path of a PEM file")
    return text
