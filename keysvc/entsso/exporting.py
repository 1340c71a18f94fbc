"""Writes a mapping store's settings, applications and mappings as Enterprise SSO's XML, line by line."""

from __future__ import annotations

import re
from collections import abc
from xml.sax.saxutils import escape, quoteattr

from keysvc.entsso.definitions import FLAGS, NUMBER_SETTINGS, TEXT_SETTINGS, TICKET_TIMEOUT
from keysvc.errors import InvalidInput
from keysvc.model import Application, ApplicationType, Mapping, Settings
from keysvc.plugin import paging
from keysvc.plugin.interfaces import MappingStore

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<sso>\n'
_FOOT = "</sso>\n"


def settings_lines(settings: Settings) -> abc.Iterator[str]:
    """The file of global info. What is not set is left out."""
    yield f"{_HEAD}  <globalInfo>\n"
    for name, setting in {**TEXT_SETTINGS, **NUMBER_SETTINGS}.items():
        value = getattr(settings, setting)
        if value != "":
            yield f"    {_element(name, str(value))}\n"
    yield f"  </globalInfo>\n{_FOOT}"


def application_lines(store: MappingStore) -> abc.Iterator[str]:
    """The file of all applications, by name; nothing where there are none."""
    applications = store.applications()
    if applications:
        yield _HEAD
        for application in applications:
            yield from _application(application)
        yield _FOOT


def mapping_lines(store: MappingStore) -> abc.Iterator[str]:
    """The file of all mappings, by application and user; nothing where there are none. Whether they are enabled is not
    in it. The property bags of config stores are no mappings of Enterprise SSO."""
    empty = True
    for application in store.applications():
        if application.type is ApplicationType.CONFIG_STORE:
            continue
        for mapping in paging.mappings(store, application.name):
            if empty:
                yield _HEAD
            empty = False
            yield _mapping(application, mapping)
    if not empty:
        yield _FOOT


def _application(application: Application) -> abc.Iterator[str]:
    yield f"  <application name={_quoted(application.name)}>\n"
    for name, text in (("description", application.description), ("contact", application.contact)):
        yield f"    {_element(name, text)}\n"
    host_group = application.type is ApplicationType.HOST_GROUP
    accounts = {
        "windowsAccount" if host_group else "appUserAccount": application.user_accounts,
        "appAdminAccount": application.administrator_accounts,
    }
    for name, named in accounts.items():
        if named:
            yield f"    {_element(name, ';'.join(named))}\n"
    for ordinal, field in enumerate(application.fields):
        yield f'    <field ordinal="{ordinal}" label={_quoted(field.label)} masked="{_switch(field.masked)}" />\n'
    flags = {
        "groupApp": application.type is ApplicationType.GROUP,
        "configStoreApp": application.type is ApplicationType.CONFIG_STORE,
        **{name: getattr(application.flags, flag) for name, flag in FLAGS.items()},
    }
    if host_group and not application.user_accounts:  # without its account, this alone tells it from others
        flags.update(groupApp=True, hostInitiatedSSO=True)
    written = " ".join(f'{name}="{_switch(on)}"' for name, on in flags.items())
    if application.ticket_timeout_minutes is not None:
        yield f"    {_element(TICKET_TIMEOUT, str(application.ticket_timeout_minutes))}\n"
    yield f"    <flags {written} />\n  </application>\n"


def _mapping(application: Application, mapping: Mapping) -> str:
    user = mapping.user if application.type is not ApplicationType.HOST_GROUP else application.host_account or ""
    domain, separator, name = user.partition("\\")
    parts = (
        ("windowsDomain", domain if separator else ""),
        ("windowsUserId", name if separator else user),
        ("externalApplication", application.name),
        ("externalUserId", mapping.external_user),
    )
    return f"  <mapping>{''.join(_element(name, text) for name, text in parts if text)}</mapping>\n"


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(_checked(text))}</{name}>"


def _quoted(text: str) -> str:
    return quoteattr(_checked(text))


def _checked(text: str) -> str:
    if _NO_XML.search(text):
        raise InvalidInput(f"{text!r} has a character that XML cannot hold", hint="rename it, or change that text")
    return text


def _switch(on: bool) -> str:
    return "yes" if on else "no"
