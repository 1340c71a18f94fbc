"""The config store: named property bags for adapters, in applications of the type config-store. A bag is the credential
of a mapping that has its name, so that it is encrypted, re-encrypted, moved and restored as every credential is."""

from __future__ import annotations

from keysvc.errors import InvalidInput
from keysvc.model import Application, ApplicationType


def require_config_store(application: Application) -> None:
    """Raises InvalidInput."""
    if application.type is not ApplicationType.CONFIG_STORE:
        raise InvalidInput(
            f"{application.name} holds credentials of users, not property bags",
            hint="create one for them: keysvc app create NAME --type config-store",
        )


def refuse_config_store(application: Application) -> None:
    """Raises InvalidInput."""
    if application.type is ApplicationType.CONFIG_STORE:
        raise InvalidInput(
            f"{application.name} holds property bags, no credentials of users", hint="keysvc config-store get APP NAME"
        )
