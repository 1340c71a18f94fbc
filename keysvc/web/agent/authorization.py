"""The table of roles between a request and its operation: an agent carries none out before its right was found."""

from __future__ import annotations

import operator
from collections import abc
from dataclasses import replace
from typing import Any

from keysvc.errors import AccessDenied
from keysvc.sso import SSO
from keysvc.sso.authorization import Access
from keysvc.sso.permissions import Right
from keysvc.web.asgi.exchange import Caller
from keysvc.web.asgi.messages import NeedsRights
from keysvc.web.asgi.routing import Call, Operation, Operations


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
        application_of, user_of = _naming("application", operation), _naming("user", operation)
        depends_on_content = issubclass(operation.content, NeedsRights)

        def handle(call: Call[Any, Any]) -> Any:
            for right in call.content.rights() if depends_on_content else operation.rights:
                self._require(call.caller, right, application_of(call), user_of(call))
            return operation.handler(call)

        return handle

    def _require(self, caller: Caller, right: Right, application: str | None, user: str | None) -> None:
        """For the application and the user that a call is about. Raises AccessDenied, AuthorizerUnavailable."""
        try:
            self.access.require(caller, right, application, user)
        except AccessDenied as error:
            self._sso.audit.refused(caller.name, right.value, application or "*", user or "*", error)
            raise


def _naming(member: str, operation: Operation[Any, Any]) -> abc.Callable[[Call[Any, Any]], str | None]:
    """What finds it in a call: in the parameters, else in the content."""
    kinds = {"parameters": operation.parameters, "content": operation.content}
    found = [f"{part}.{member}" for part, kind in kinds.items() if member in kind.__struct_fields__]
    return operator.attrgetter(found[0]) if found else lambda _call: None
