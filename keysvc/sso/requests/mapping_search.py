"""Finding mappings among very many."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from keysvc.model import Mapping, names
from keysvc.sso.permissions import Right
from keysvc.sso.requests.request import MAXIMUM_PAGE, After, ApplicationName, Limit, Request
from keysvc.sso.work import Work

MAXIMUM_LOOKED_AT = 5000
"""How many rows one request looks at: what is found later is on the next page."""
Text = Annotated[str, Meta(max_length=names.MAXIMUM_LENGTH)]


@dataclass(frozen=True, slots=True)
class FoundMappings:
    """Mappings by user. `next` is the `after` of the next page, None at the end; it may be there although few were
    found, or none: the page stopped after so many rows."""

    items: tuple[Mapping, ...]
    next: str | None = None


class SearchMappings(Request[FoundMappings], frozen=True):
    """Those whose user begins with `prefix`, whose external user is `external_user`, that are `enabled` or not: of what
    the caller may see. What is absent does not matter."""

    application: ApplicationName
    prefix: Text = ""
    external_user: Text = ""
    enabled: bool | None = None
    after: After = ""
    limit: Limit = 100

    needs = (Right.SEE_MAPPINGS,)

    def act(self, work: Work) -> FoundMappings:
        own = work.access.own_mappings(work.caller, self.application)
        if own is not None:
            return self._page(iter([mapping for mapping in own if mapping.user > self.after]))
        name = work.found.definition.name
        if self.external_user:
            found = work.store.mappings_of_external_user(name, self.external_user)
            in_order = sorted((mapping for mapping in found if mapping.user > self.after), key=lambda each: each.user)
            return self._page(iter(in_order))
        return self._page(self._beginning(work, name))

    def _beginning(self, work: Work, application: str) -> abc.Iterator[Mapping]:
        """Every mapping whose user begins so, in the order of the store, from the place where the page begins."""
        after = self.after
        if self.prefix and not after.startswith(self.prefix):
            exact = work.store.mapping(application, self.prefix)
            if exact is not None:
                yield exact
            after = self.prefix
        size = MAXIMUM_PAGE if self.enabled is not None else self.limit + 1
        while page := work.store.mappings(application, after=after, limit=size):
            for mapping in page:
                if not mapping.user.startswith(self.prefix):
                    return
                yield mapping
            after = page[-1].user

    def _page(self, mappings: abc.Iterator[Mapping]) -> FoundMappings:
        items: list[Mapping] = []
        last = ""
        for number, mapping in enumerate(mappings):
            if len(items) == self.limit or number == MAXIMUM_LOOKED_AT:
                return FoundMappings(tuple(items), last)
            last = mapping.user
            if self._fits(mapping):
                items.append(mapping)
        return FoundMappings(tuple(items))

    def _fits(self, mapping: Mapping) -> bool:
        return (
            mapping.user.startswith(self.prefix)
            and self.external_user in {"", mapping.external_user}
            and self.enabled in {None, mapping.enabled}
        )
