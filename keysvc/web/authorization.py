"""The table of roles between a request and its operation: an agent carries none out before its right was found."""

from __future__ import annotations

from collections import abc
from dataclasses import replace
from typing import Any

from keysvc.errors import AccessDenied
from keysvc.sso import SSO
from keysvc.sso.access import Access
from keysvc.sso.roles import Right
from keysvc.web.messages import NeedsRights
from keysvc.web.operations import Call, Caller, Operation, Operations


class Authorization:
    """Says what callers may do, and lets the audit know what they may not."""

    def __init__(self, sso: SSO, access: Access) -> None:
        self.access = access
        self._sso = sso

    def sso_for(self, caller: Caller) -> SSO:
        """The SSO server, acting in its name."""
        return self._sso.acting_as(caller.name)

    def guarded(self, operations: Operations) -> Operations:
        """The same, each behind its right."""
        return [replace(operation, handler=self._guarded(operation)) for operation in operations]

    def _guarded(self, operation: Operation[Any, Any]) -> abc.Callable[[Call[Any, Any]], Any]:
        def handle(call: Call[Any, Any]) -> Any:
            for right in rights_needed(operation, call):
                self._require(call, right)
            return operation.handler(call)

        return handle

    def _require(self, call: Call[Any, Any], right: Right) -> None:
        """For the application and the user that the call is about. Raises AccessDenied, AuthorizerUnavailable."""
        application, user = _named("application", call), _named("user", call)
        try:
            self.access.require(call.caller, right, application, user)
        except AccessDenied as error:
            self._sso.audit.refused(call.caller.name, right.value, application or "*", user or "*", error)
            raise


def rights_needed(operation: Operation[Any, Any], call: Call[Any, Any]) -> abc.Iterable[Right]:
    """Those of the operation; where it does several things, of what the content asks for."""
    return call.content.rights() if isinstance(call.content, NeedsRights) else operation.rights


def _named(member: str, call: Call[Any, Any]) -> str | None:
    found = (getattr(part, member, None) for part in (call.parameters, call.content))
    return next((name for name in found if name is not None), None)
