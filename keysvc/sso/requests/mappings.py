"""Requests about mappings."""

from __future__ import annotations

from collections import abc
from dataclasses import replace

from keysvc.errors import InvalidInput
from keysvc.model import Application, ApplicationType, Mapping, check_new_mapping, names
from keysvc.plugin import paging
from keysvc.plugin.changes import DeleteMapping as DeleteRow, PutMapping
from keysvc.sso.credential_writer import claimed
from keysvc.sso.credentials import refuse_local
from keysvc.sso.permissions import Right
from keysvc.sso.requests.request import MAXIMUM_PAGE, After, ApplicationName, Limit, Name, Request, User
from keysvc.sso.work import Work


class GetMapping(Request[Mapping], frozen=True):
    """A user's, by its key."""

    application: ApplicationName
    user: User

    needs = (Right.SEE_MAPPINGS,)

    def act(self, work: Work) -> Mapping:
        return existing(work)


class ListMappings(Request[abc.Sequence[Mapping]], frozen=True):
    """A page by user, of those that the caller may see."""

    application: ApplicationName
    after: After = ""
    limit: Limit = 100

    needs = (Right.SEE_MAPPINGS,)

    def act(self, work: Work) -> abc.Sequence[Mapping]:
        own = work.access.own_mappings(work.caller, self.application)
        if own is not None:
            return tuple(mapping for mapping in own if mapping.user > self.after)[: self.limit]
        definition = work.found.definition
        return tuple(work.store.mappings(definition.name, after=self.after, limit=self.limit))


class SetMapping(Request[Mapping], frozen=True):
    """The user id that the application knows. A mapping that is there stays as enabled as it is, unless `enable`."""

    application: ApplicationName
    user: User
    external_user: Name
    enable: bool = False

    needs = (Right.CHANGE_MAPPINGS,)

    def act(self, work: Work) -> Mapping:
        definition = work.found.definition
        user = mapped(definition, self.user, self.external_user)
        found = work.found if user == self.user else work.found.again(user)
        known, user = found.mapping, found.account
        external_user = user if definition.type is ApplicationType.HOST_GROUP else self.external_user
        check_new_mapping(definition, user, external_user, known)
        mapping = Mapping(
            definition.name,
            user,
            external_user,
            enabled=self.enable or (known is not None and known.enabled),
            revision=known.revision if known else 0,
        )
        work.require_enabled()
        claims = [claimed(mapping)] if work.own else []
        work.commit([*claims, PutMapping(mapping)], work.entry("mapping.set", definition.name, user))
        return mapping


class EnableMapping(Request[Mapping], frozen=True):
    """Whether it is, from now on."""

    application: ApplicationName
    user: User
    enabled: bool

    needs = (Right.CHANGE_MAPPINGS,)

    def act(self, work: Work) -> Mapping:
        mapping = existing(work)
        if mapping.enabled == self.enabled:
            return mapping
        work.require_enabled()
        claims = [claimed(mapping)] if work.own and self.enabled else []
        entry = work.entry(f"mapping.{state(self.enabled)}", mapping.application, mapping.user)
        work.commit([*claims, PutMapping(replace(mapping, enabled=self.enabled))], entry)
        return work.store.mapping(mapping.application, mapping.user) or mapping


class EnableAllMappings(Request[int], frozen=True):
    """Whether they are, from now on. Committed in pages, each with its audit entry, so that no commit is long: whoever
    was cut off asks again."""

    application: ApplicationName
    enabled: bool

    needs = (Right.CHANGE_MAPPINGS,)

    def act(self, work: Work) -> int:
        name, changed = work.found.definition.name, 0
        pending = (mapping for mapping in paging.mappings(work.store, name) if mapping.enabled != self.enabled)
        for page in paging.batches(pending, MAXIMUM_PAGE):
            work.require_enabled(work.found.again())  # the system may have been disabled since the last page
            entry = work.entry(f"mapping.all-{state(self.enabled)}", name)
            work.commit([PutMapping(replace(mapping, enabled=self.enabled)) for mapping in page], entry)
            changed += len(page)
        return changed


class DeleteMapping(Request[None], frozen=True):
    """With its credential."""

    application: ApplicationName
    user: User

    needs = (Right.CHANGE_MAPPINGS,)

    def act(self, work: Work) -> None:
        mapping = existing(work)
        work.require_enabled()
        entry = work.entry("mapping.deleted", mapping.application, mapping.user)
        work.commit([DeleteRow(mapping.application, mapping.user)], entry)


def existing(work: Work) -> Mapping:
    """Return the mapping that the request is about. Raises NotFound."""
    mapping = work.found.mapping
    if mapping is None:
        raise work.found.unmapped()
    return mapping


def mapped(application: Application, user: str, external_user: str) -> str:
    """Return whose mapping it is. Raises InvalidInput."""
    if application.type is ApplicationType.HOST_GROUP:
        if names.key(user) not in names.keys((external_user, application.host_account or "")):
            raise InvalidInput(
                f"in the host group {application.name} an external user is mapped to its one account, "
                f"{application.host_account or 'which it lacks'}, and not to {user}"
            )
        return external_user
    refuse_local(application, user)
    return user


def state(enabled: bool) -> str:
    """As the actions of the audit have it."""
    return "enabled" if enabled else "disabled"
