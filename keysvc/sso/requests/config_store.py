"""Requests about the property bags of a config store."""

from __future__ import annotations

from collections import abc
from typing import Annotated

from msgspec import Meta

from keysvc.errors import Conflict, NotFound
from keysvc.model import SecretText
from keysvc.plugin.changes import DeleteMapping
from keysvc.sso.config_store import require_config_store
from keysvc.sso.permissions import Right
from keysvc.sso.requests import credentials
from keysvc.sso.requests.request import ApplicationName, Name, Request
from keysvc.sso.work import Work

BagName = Annotated[Name, Meta(description="of the property bag", examples=["ftp-adapter"])]


class GetConfigInfo(Request[abc.Mapping[str, SecretText]], frozen=True):
    """The properties of a bag by label; `fresh` asks the mapping store in any case."""

    application: ApplicationName
    name: BagName
    fresh: bool = False

    needs = (Right.SEE_CONFIG_INFO,)

    def act(self, work: Work) -> abc.Mapping[str, SecretText]:
        require_config_store(work.found.definition)
        return credentials.look_up(work, self.application, self.name, fresh=self.fresh).fields


class SetConfigInfo(Request[int], frozen=True):
    """All properties of a bag by label."""

    application: ApplicationName
    name: BagName
    properties: dict[str, SecretText]

    needs = (Right.CHANGE_CONFIG_INFO,)

    def act(self, work: Work) -> int:
        require_config_store(work.found.definition)
        return credentials.store(work, self.name, self.properties, self.name)


class DeleteConfigInfo(Request[None], frozen=True):
    """The whole bag."""

    application: ApplicationName
    name: BagName

    needs = (Right.CHANGE_CONFIG_INFO,)

    def act(self, work: Work) -> None:
        require_config_store(work.found.definition)
        work.require_enabled()
        name = work.found.definition.name
        bag = work.found.again(self.name).account
        try:
            work.commit([DeleteMapping(name, bag)], work.entry("config.deleted", name, bag))
        except Conflict:
            raise NotFound(f"{self.application} has no property bag {self.name}") from None
