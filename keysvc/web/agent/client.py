"""What talks to an agent: the calls of `keysvc.SSO`, through HTTP on a port or on a UNIX socket."""

from __future__ import annotations

from keysvc.model import Role, host_name
from keysvc.sso.calls import Calls
from keysvc.sso.requests.request import Answer, Request
from keysvc.web.agent.routes import WIRES
from keysvc.web.agent.wire import Wire
from keysvc.web.asgi.connection import Connection, Requests, UnixConnection, with_query
from keysvc.web.tls.identity_files import IdentityFiles


class AgentClient(Calls):
    """The calls of `keysvc.SSO`, through an agent; the roles of the caller say which it may use. Thread-safe."""

    _connection: Requests

    def __init__(self, url: str, identity: IdentityFiles, system_id: str) -> None:
        self._connection = Connection(
            url, identity.client_context(), host_name(Role.SERVER, system_id), "the agent", identity.problem_with_dates
        )

    @classmethod
    def on_socket(cls, path: str, account: str | None = None) -> AgentClient:
        """Through a UNIX socket, where the account of this process says who calls.

        `account` is the one that the agent runs as, when that is neither root nor the account of this process: each
        call raises AccessDenied where another listens.
        """
        client = cls.__new__(cls)
        client._connection = UnixConnection(path, "the agent", account)
        return client

    def perform(self, request: Request[Answer], /) -> Answer:
        """Let the agent carry out a request. Raises what the agent raised."""
        wire: Wire[Answer] = WIRES[type(request)]
        query, headers, content = wire.write(request)
        path = with_query(wire.route.path, **query)
        response = self._connection.request(wire.route.method, path, content, headers)
        shape = wire.route.shape
        sent = None if shape.decoder is None else self._connection.decode(response, shape.decoder)
        return shape.unpack(sent)

    def close(self) -> None:
        """Repeatable."""
        self._connection.close()
