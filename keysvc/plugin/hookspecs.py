"""The hooks: the page that a plugin author reads first.

A plugin is a Python package with an entry point in the group `keysvc`; the entry point names a module (or object) whose
functions, marked with `@hookimpl`, implement any of the hooks below:

    from keysvc.plugin import hookimpl

    KEYSVC_API = 2

    @hookimpl
    def keysvc_key_stores(register):
        register("memo", open_memo, summary="a key store on paper", options={"pad": "which pad"})

`open_memo` takes a `keysvc.plugin.Opening` and returns a part. It imports its driver itself: importing a plugin must
not import the driver, so that a plugin costs nothing until it is used. `KEYSVC_API` is the `API_VERSION` that the
plugin was written for; keysvc refuses one that it does not have. docs/plugins/stability.md says what is promised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from keysvc.plugin.interfaces import Authorizer, KeyStore, MappingStore, Notifier, Register

if TYPE_CHECKING:
    import typer

API_VERSION = 2
"""The version of `keysvc.plugin`. It rises when a plugin has to be changed."""

hookspec = pluggy.HookspecMarker("keysvc")
hookimpl = pluggy.HookimplMarker("keysvc")


@hookspec
def keysvc_key_stores(register: Register[KeyStore]) -> None:
    """Register key stores by URL scheme.

    Called once in each process that opens a part, right after the plugin was imported. An exception, or a scheme that
    another plugin has, leaves the whole plugin out; `keysvc plugin list` and `keysvc doctor` show why.

        register("memo", open_memo, summary="a key store on paper", options={"pad": "which pad"})
    """


@hookspec
def keysvc_mapping_stores(register: Register[MappingStore]) -> None:
    """Register mapping stores by URL scheme. Called, and isolated, as `keysvc_key_stores`.

    register("mariadb", open_mariadb, summary="a database on MariaDB", options={"ssl-ca": "file of the authority"})
    """


@hookspec
def keysvc_notifiers(register: Register[Notifier]) -> None:
    """Register notifiers by URL scheme. Called, and isolated, as `keysvc_key_stores`.

    A scheme may name what it is built on: `pager` opens `pager+https://…` too, unless another plugin registers that.

        register("pager", open_pager, summary="a page to whoever is on duty", options={"key-source": "file of the key"})
    """


@hookspec
def keysvc_authorizers(register: Register[Authorizer]) -> None:
    """Register authorizers by URL scheme. Called, and isolated, as `keysvc_key_stores`.

    register("directory", open_directory, summary="groups of a directory", options={"base": "where to search"})
    """


@hookspec
def keysvc_commands(app: typer.Typer) -> None:
    """Add commands to the command line. Called once in each run of the `keysvc` command, and only for a plugin that is
    also an entry point of the group `keysvc.commands`: no command waits for plugins that have none. An exception is
    reported by `keysvc plugin list`; the other commands still work.

        app.add_typer(service, name="service", help="Run keysvc as a Windows service.")
    """
