"""What an agent answers to those who administer applications and mappings: the verbs of `SSO.administration`."""

from __future__ import annotations

from typing import Any

from keysvc.errors import Conflict, NotFound
from keysvc.model import Application, Mapping
from keysvc.sso.administration import Administration
from keysvc.sso.permissions import Right
from keysvc.web.agent.authorization import Authorization
from keysvc.web.asgi import messages, parameters
from keysvc.web.asgi.routing import PRINCIPALS, Call, NoContent, Operation, Operations

OneApplication = parameters.OneApplication


class AdministrationOperations:
    """Each change is one commit, with its audit entry."""

    def __init__(self, authorization: Authorization) -> None:
        self._authorization = authorization

    def all(self) -> Operations:
        """Every one, not guarded yet."""
        return [*self._on_applications(), *self._on_mappings()]

    def _on_applications(self) -> Operations:
        return [
            Operation(
                method="PUT",
                path="/v1/application",
                summary="Create an affiliate application; may be repeated",
                handler=self.create_application,
                parameters=OneApplication,
                content=messages.CreateApplicationRequest,
                answer=Application,
                roles=PRINCIPALS,
                rights=(Right.CREATE_APPLICATION, Right.SET_TICKETS),
                errors=(Conflict,),
            ),
            Operation(
                method="PATCH",
                path="/v1/application",
                summary="Enable, disable, describe an application, change its flags and accounts; what is absent stays",
                handler=self.change_application,
                parameters=OneApplication,
                content=messages.ApplicationChange,
                answer=Application,
                roles=PRINCIPALS,
                rights=(Right.CHANGE_APPLICATION, Right.SET_TICKETS, Right.NAME_USERS, Right.NAME_ADMINISTRATORS),
                errors=(NotFound, Conflict),
            ),
            Operation(
                method="DELETE",
                path="/v1/application",
                summary="Delete an application with all its mappings and credentials",
                handler=self.delete_application,
                parameters=OneApplication,
                roles=PRINCIPALS,
                rights=(Right.DELETE_APPLICATION,),
                errors=(NotFound, Conflict),
            ),
        ]

    def _on_mappings(self) -> Operations:
        return [
            Operation(
                method="GET",
                path="/v1/mapping",
                summary="A mapping",
                handler=self.mapping,
                parameters=parameters.OneCredential,
                answer=Mapping,
                roles=PRINCIPALS,
                rights=(Right.SEE_MAPPINGS,),
                errors=(NotFound,),
            ),
            Operation(
                method="PUT",
                path="/v1/mapping",
                summary="Map a user to an external user; a new mapping starts disabled unless told; may be repeated",
                handler=self.set_mapping,
                parameters=parameters.OneCredential,
                content=messages.MappingRequest,
                answer=Mapping,
                roles=PRINCIPALS,
                rights=(Right.CHANGE_MAPPINGS,),
                errors=(NotFound, Conflict),
            ),
            Operation(
                method="PATCH",
                path="/v1/mapping",
                summary="Enable or disable a mapping",
                handler=self.enable_mapping,
                parameters=parameters.OneCredential,
                content=messages.Enabled,
                answer=Mapping,
                roles=PRINCIPALS,
                rights=(Right.CHANGE_MAPPINGS,),
                errors=(NotFound, Conflict),
            ),
            Operation(
                method="PATCH",
                path="/v1/mappings",
                summary="Enable or disable every mapping of an application",
                handler=self.enable_all_mappings,
                parameters=OneApplication,
                content=messages.Enabled,
                answer=messages.Changed,
                roles=PRINCIPALS,
                rights=(Right.CHANGE_MAPPINGS,),
                errors=(NotFound, Conflict),
            ),
            Operation(
                method="DELETE",
                path="/v1/mapping",
                summary="Delete a mapping with its credential",
                handler=self.delete_mapping,
                parameters=parameters.OneCredential,
                roles=PRINCIPALS,
                rights=(Right.CHANGE_MAPPINGS,),
                errors=(NotFound, Conflict),
            ),
        ]

    def _as(self, call: Call[Any, Any]) -> Administration:
        return self._authorization.sso_for(call.caller).administration

    def create_application(self, call: Call[OneApplication, messages.CreateApplicationRequest]) -> Application:
        """One that is there already and the same is the answer to a repetition."""
        asked, administration, name = call.content, self._as(call), call.parameters.application
        try:
            administration.create_application(name, **asked.arguments())
        except Conflict:
            if not asked.describes(administration.application(name)):
                raise
        return administration.application(name)

    def change_application(self, call: Call[OneApplication, messages.ApplicationChange]) -> Application:
        """All or nothing."""
        administration, name = self._as(call), call.parameters.application
        administration.change_application(name, **call.content.arguments())
        return administration.application(name)

    def delete_application(self, call: Call[OneApplication, NoContent]) -> None:
        """For good."""
        self._as(call).delete_application(call.parameters.application)

    def mapping(self, call: Call[parameters.OneCredential, NoContent]) -> Mapping:
        """By exact names."""
        return self._as(call).mapping(call.parameters.application, call.parameters.user)

    def set_mapping(self, call: Call[parameters.OneCredential, messages.MappingRequest]) -> Mapping:
        """Its credential stays."""
        where, asked = call.parameters, call.content
        return self._as(call).set_mapping(where.application, where.user, asked.external_user, enable=asked.enable)

    def enable_mapping(self, call: Call[parameters.OneCredential, messages.Enabled]) -> Mapping:
        """Or disable it."""
        where, administration = call.parameters, self._as(call)
        administration.enable_mapping(where.application, where.user, call.content.enabled)
        return administration.mapping(where.application, where.user)

    def enable_all_mappings(self, call: Call[OneApplication, messages.Enabled]) -> messages.Changed:
        """Or disable them."""
        return messages.Changed(self._as(call).enable_all_mappings(call.parameters.application, call.content.enabled))

    def delete_mapping(self, call: Call[parameters.OneCredential, NoContent]) -> None:
        """For good."""
        self._as(call).delete_mapping(call.parameters.application, call.parameters.user)
