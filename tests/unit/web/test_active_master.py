"""Which of several master secret servers a request goes to, over real TLS."""

from __future__ import annotations

import contextlib
import threading
from collections import abc
from pathlib import Path

import pytest
from systems import SYSTEM_ID, eventually

from keysvc.crypto import certificates
from keysvc.errors import (
    Fenced,
    KeysvcError,
    MappingStoreUnavailable,
    MasterSecretServerUnavailable,
    NotActive,
)
from keysvc.model import Role, host_name, utc_now
from keysvc.web.asgi.exchange import Receive, Scope, Send, problem, whole
from keysvc.web.asgi.problems import problem_of
from keysvc.web.asgi.server import Server, listen
from keysvc.web.master.failover import ActiveMaster
from keysvc.web.tls.identity_files import IdentityFiles


class Masters:
    """Each answers with what `answers` holds for it, an error or its own name; `asked` in this order."""

    def __init__(self, folder: Path, ending: contextlib.ExitStack) -> None:
        authority = certificates.create_authority(SYSTEM_ID, now=utc_now())
        host = host_name(Role.MASTER, SYSTEM_ID)
        pair = certificates.issue(authority, "master", Role.MASTER, now=utc_now(), hosts=[host])
        self._files = IdentityFiles(folder)
        self._files.write(pair.certificate, pair.key, authority.certificate)
        self._ending = ending
        self.answers: dict[str, KeysvcError | None] = {}
        self.asked: list[str] = []
        self.urls: dict[str, str] = {}
        self.found = ""

    def add(self, name: str) -> None:
        async def respond(_scope: Scope, _receive: Receive, send: Send) -> None:
            self.asked.append(name)
            error = self.answers.get(name)
            response = whole(name.encode(), 200) if error is None else problem(problem_of(error))
            await response.send(send)

        at = listen("127.0.0.1", 0)
        self._ending.enter_context(Server(respond, at, self._files.server_context()).in_background())
        self.urls[name] = f"https://127.0.0.1:{at.getsockname()[1]}"

    def client(self, *known: str, patience: float = 0.0) -> ActiveMaster:
        made = ActiveMaster(
            [self.urls[name] for name in known],
            self._files.client_context(),
            host_name(Role.MASTER, SYSTEM_ID),
            lambda: self.urls.get(self.found, ""),
            patience,
        )
        self._ending.callback(made.close)
        return made


@pytest.fixture
def masters(tmp_path: Path) -> abc.Iterator[Masters]:
    with contextlib.ExitStack() as ending:
        made = Masters(tmp_path / "identity", ending)
        for name in ("one", "two", "three"):
            made.add(name)
        yield made


def test_the_list_is_gone_through_and_the_one_that_answered_is_asked_first_the_next_time(masters: Masters) -> None:
    client = masters.client("one", "two")
    masters.answers["one"] = MasterSecretServerUnavailable("no lease")
    assert client.request("GET", "/v1/poll").data == b"two"
    assert client.request("GET", "/v1/poll").data == b"two"
    assert masters.asked == ["one", "two", "two"]


def test_the_one_that_a_standby_names_is_asked_next_and_the_one_that_the_lease_names_last(masters: Masters) -> None:
    client = masters.client("one", "two")
    masters.answers["one"] = NotActive("a standby", active=masters.urls["three"])
    assert client.request("GET", "/v1/poll").data == b"three"
    masters.answers["three"] = masters.answers["two"] = MasterSecretServerUnavailable("no lease")
    masters.answers["one"], masters.found = NotActive("a standby"), "three"
    masters.asked.clear()
    with pytest.raises(MasterSecretServerUnavailable):
        client.request("GET", "/v1/poll")
    assert masters.asked == ["three", "one", "two"]


def test_who_is_patient_waits_until_a_standby_has_taken_over(masters: Masters) -> None:
    masters.answers = {name: NotActive("a standby") for name in ("one", "two")}

    def take_over() -> None:
        eventually(lambda: masters.asked.count("two") > 1)
        masters.answers["two"] = None

    thread = threading.Thread(target=take_over)
    thread.start()
    assert masters.client("one", "two", patience=60).request("POST", "/v1/enrolments").data == b"two"
    thread.join()


def test_patience_ends_and_is_only_for_a_standby_that_may_take_over(masters: Masters) -> None:
    masters.answers["one"] = NotActive("a standby")
    with pytest.raises(NotActive):
        masters.client("one", patience=0.1).request("GET", "/v1/status")
    masters.asked.clear()
    masters.answers["one"] = MasterSecretServerUnavailable("no lease")
    with pytest.raises(MasterSecretServerUnavailable, match="no lease"):
        masters.client("one", patience=60).request("GET", "/v1/status")
    assert masters.asked == ["one"]


def test_a_fenced_one_is_passed_by_whatever_is_asked_and_is_an_outage_when_it_is_the_only_one(masters: Masters) -> None:
    masters.answers["one"] = Fenced("epoch 7 is over")
    assert masters.client("one", "two").request("POST", "/v1/versions/1").data == b"two"
    with pytest.raises(MasterSecretServerUnavailable, match="epoch 7 is over"):
        masters.client("one").request("POST", "/v1/versions/1")


def test_one_that_lost_the_mapping_store_is_passed_by_for_what_changes_nothing_alone(masters: Masters) -> None:
    masters.answers["one"] = MappingStoreUnavailable("away")
    assert masters.client("one", "two").request("GET", "/v1/status").data == b"two"
    masters.asked.clear()
    with pytest.raises(MappingStoreUnavailable):
        masters.client("one", "two").request("POST", "/v1/rotations")
    assert masters.asked == ["one"]
