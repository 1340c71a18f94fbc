"""What all requests have in common, and the types of their fields."""

from __future__ import annotations

from collections import abc
from typing import Annotated, ClassVar, Generic, TypeVar

import msgspec
from msgspec import Meta

from keysvc.model import names
from keysvc.sso.permissions import Right
from keysvc.sso.work import Services, Work

MAXIMUM_PAGE = 500
Answer = TypeVar("Answer")

Name = Annotated[str, Meta(min_length=1, max_length=names.MAXIMUM_LENGTH)]
ApplicationName = Annotated[Name, Meta(description="name of an affiliate application", examples=["SAP"])]
User = Annotated[Name, Meta(description="user of the mapping", examples=["NORDWIND\\anna.weber"])]
After = Annotated[
    str, Meta(max_length=names.MAXIMUM_LENGTH, description="`next` of the page before; empty begins at the first")
]
Limit = Annotated[int, Meta(ge=1, le=MAXIMUM_PAGE, description="how many at most")]


class Request(msgspec.Struct, Generic[Answer], frozen=True, forbid_unknown_fields=True):
    """One operation of an SSO server, as a value: `SSO.perform` carries it out, and `AgentClient.perform` sends it.

    The limits in the types of the fields hold for what comes over HTTP. A request that changes something is one commit,
    with its audit entry. A field `application`, and a field `user`, is what the rights must be for.
    """

    needs: ClassVar[tuple[Right, ...]] = ()
    """The rights that it may need."""
    always_recorded: ClassVar[bool] = False
    """Whether each one writes into the audit although it changes nothing: for what is its own, a caller may ask it no
    oftener than it may change something."""

    def rights(self) -> abc.Iterable[Right]:
        """Return those of `needs` that just this request needs."""
        return self.needs

    def act(self, work: Work) -> Answer:
        """Carry it out: the caller has the rights."""
        raise NotImplementedError

    def remembered(self, services: Services) -> Answer | None:  # noqa: ARG002
        """Return the answer if it is in memory, fresh, and needs no audit entry. No I/O: an event loop asks."""
        return None

    def about(self) -> tuple[str | None, str | None]:
        """Return the application and the user that the rights must be for."""
        return getattr(self, "application", None), getattr(self, "user", None)
