"""The hooks: the page that a plugin author reads first.

A plugin is a Python package with an entry point in the group `keysvc`; the entry point names a module (or object) whose
functions, marked with `@hookimpl`, implement any of the hooks below:

    from keysvc.plugin.hookspecs import hookimpl

    KEYSVC_API = 2

    @hookimpl
    def keysvc_key_stores(register):
        register("memo", open_memo, summary="a key store on paper", options={"pad": "which pad"})

`open_memo` takes a `keysvc.plugin.interfaces.Opening` and returns a part; it imports drivers itself, so that a plugin costs
nothing until it is used. Importing a plugin must not import its driver. `KEYSVC_API` is the `API_VERSION` that the
plugin was written for; keysvc refuses one that it does not have. docs/plugins/stability.md says what is promised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from keysvc.plugin.interfaces import Authorizer, KeyStore, MappingStore, Notifier, Register

if TYPE_CHECKING:
    import typer

API_VERSION = 2
"""Of hooks, `keysvc.plugin.interfaces`, `keysvc.plugin.sealed` and what they are made of. Rises when a plugin has to be changed."""

hookspec = pluggy.HookspecMarker("keysvc")
hookimpl = pluggy.HookimplMarker("keysvc")


@hookspec
def keysvc_key_stores(register: Register[KeyStore]) -> None:
    """Register key stores by URL scheme."""


@hookspec
def keysvc_mapping_stores(register: Register[MappingStore]) -> None:
    """Register mapping stores by URL scheme."""


@hookspec
def keysvc_notifiers(register: Register[Notifier]) -> None:
    """Register notifiers by URL scheme."""


@hookspec
def keysvc_authorizers(register: Register[Authorizer]) -> None:
    """Register authorizers by URL scheme."""


@hookspec
def keysvc_commands(app: typer.Typer) -> None:
    """Add commands to the command line. Called only when the command line runs, and only of a plugin that is an entry
    point of the group `keysvc.commands` too: no command waits for plugins that have none."""
