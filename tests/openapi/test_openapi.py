"""Whatever is asked of an agent or of the master secret server, it answers as its OpenAPI says. `tox -e openapi`."""

from __future__ import annotations

from collections import abc
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="Schemathesis is not installed: tox -e openapi")
import requests
from hypothesis import HealthCheck, Phase, settings
from requests.adapters import HTTPAdapter
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from systems import SYSTEM_ID, System, configured
from web_servers import Served, serving_agent, serving_master

from keysvc.model import Role, host_name
from keysvc.web.agent.app import TITLE, operations as agent_operations
from keysvc.web.asgi import openapi
from keysvc.web.master.app import TITLE as MASTER_TITLE, MasterOperations

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")  # of Schemathesis
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]
SHORT = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
AGENT = schemathesis.openapi.from_dict(openapi.document(TITLE, agent_operations(None)))
MASTER = schemathesis.openapi.from_dict(openapi.document(MASTER_TITLE, MasterOperations(None, None, None).all()))


class Trusting(HTTPAdapter):
    """Mutual TLS with a server that is known by its role, whatever its address is."""

    def __init__(self, served: Served, role: Role) -> None:
        self._tls: dict[str, Any] = {
            "ssl_context": served.identity.client_context(),
            "assert_hostname": host_name(role, SYSTEM_ID),
            "server_hostname": host_name(role, SYSTEM_ID),
        }
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, **self._tls)

    def cert_verify(self, *args: Any) -> None:
        """The context does."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[System]:
    made = configured(tmp_path_factory.mktemp("system"))
    made.with_users("NORDWIND\\anna.weber")
    made.start()
    yield made
    made.close()


def session(served: Served, role: Role) -> requests.Session:
    made = requests.Session()
    made.mount("https://", Trusting(served, role))
    return made


@pytest.fixture(scope="module")
def agent(system: System, tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[dict[str, Any]]:
    sso, _ = system.sso()
    sso.set_credential("SAP", {"Password": "geheim"}, user="NORDWIND\\anna.weber")
    with (
        serving_agent(system, sso, tmp_path_factory.mktemp("agent")) as served,
        session(served, Role.SERVER) as asking,
    ):
        yield {"session": asking, "base_url": served.url}


@pytest.fixture(scope="module")
def master(system: System, tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[dict[str, Any]]:
    with serving_master(system, tmp_path_factory.mktemp("master")) as served, session(served, Role.MASTER) as asking:
        yield {"session": asking, "base_url": served.url}


@AGENT.parametrize()
@SHORT
def test_an_agent(case: Case, agent: dict[str, Any]) -> None:
    case.call_and_validate(**agent, checks=CHECKS)


@MASTER.parametrize()
@SHORT
def test_the_master_secret_server(case: Case, master: dict[str, Any]) -> None:
    case.call_and_validate(**master, checks=CHECKS)
