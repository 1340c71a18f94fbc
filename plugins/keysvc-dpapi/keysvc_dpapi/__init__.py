"""The plugin `dpapi`: where Enterprise SSO keeps its secret, and what else belongs to Windows.

The key store `registry:`, the notifier `eventlog:`, the commands `keysvc service` and `keysvc registry`.

registry://HKLM/SOFTWARE/keysvc
registry://HKLM/SOFTWARE/keysvc?account=NT%20SERVICE%5Ckeysvc
registry://HKCU/Software/keysvc?scope=user
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from keysvc.plugin import ConfigurationError, KeyStore, Notifier, Opening, Register, SealedKeyStore, hookimpl

if TYPE_CHECKING:
    import typer

    from keysvc.plugin import Location
    from keysvc_dpapi.registry import RegistryKey

KEYSVC_API = 2
_EXAMPLE = "write registry://HKLM/SOFTWARE/keysvc"


@hookimpl
def keysvc_key_stores(register: Register[KeyStore]) -> None:
    """Register `registry:`."""
    register(
        "registry",
        open_registry,
        summary="values of a Windows registry key, sealed with DPAPI",
        options={
            "scope": "machine (the default) or user: whose DPAPI key seals",
            "account": "the service account that is let in beside SYSTEM and Administrators",
        },
    )


@hookimpl
def keysvc_notifiers(register: Register[Notifier]) -> None:
    """Register `eventlog:`."""
    register("eventlog", open_event_log, summary="an entry of the Windows event log for each event", options={})


@hookimpl
def keysvc_commands(app: typer.Typer) -> None:
    """Add `keysvc service` and `keysvc registry`."""
    from keysvc_dpapi import commands

    app.add_typer(commands.service, name="service")
    app.add_typer(commands.registry, name="registry")


def open_registry(opening: Opening) -> KeyStore:
    """Raises ConfigurationError where there is no Windows registry, and for what is no key of it."""
    if sys.platform != "win32":
        raise ConfigurationError(
            "registry: needs Windows, whose registry and DPAPI it uses", hint="use file: or pkcs11: on this machine"
        )
    from keysvc_dpapi.dpapi import DpapiSealer, Scope
    from keysvc_dpapi.registry import RegistryShelf

    scope = opening.location.options.get("scope", Scope.MACHINE)
    if scope not in list(Scope):
        raise ConfigurationError("registry: has scope=machine or scope=user")
    shelf = RegistryShelf(registry_key(opening.location))
    return SealedKeyStore(DpapiSealer(str(opening.location), Scope(scope)), shelf, opening.system_id)


def open_event_log(opening: Opening) -> Notifier:
    """Raises ConfigurationError where there is no Windows event log, or more than `eventlog:` is given."""
    if opening.location.path:
        raise ConfigurationError("eventlog: takes nothing behind the colon")
    if sys.platform != "win32":
        raise ConfigurationError("eventlog: needs Windows", hint="use log: or syslog: on this machine")
    from keysvc_dpapi.event_log import EventLogNotifier

    return EventLogNotifier()


def registry_key(location: Location) -> RegistryKey:
    """The key that a `registry:` URL names. Windows only. Raises ConfigurationError."""
    from keysvc_dpapi.registry import HIVES, RegistryKey

    hive = urlsplit(location.reveal()).netloc.upper()
    names = location.path.strip("/").split("/")
    if hive not in HIVES or len(names) < 2 or not all(names) or "\\" in location.path:
        hives = " or ".join(HIVES)
        raise ConfigurationError(f"registry: needs {hives} and a key of at least two names", hint=_EXAMPLE)
    return RegistryKey(hive, "\\".join(names), location.options.get("account"))
