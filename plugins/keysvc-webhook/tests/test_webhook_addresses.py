"""No name and no number leads into a private network, unless that is allowed."""

from __future__ import annotations

import socket
from collections import abc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from keysvc_webhook.addresses import is_public
from keysvc_webhook.notifier import WebhookNotifier, trust

from keysvc.plugin import ConfigurationError, Event, NotifierUnavailable, SecretText

EVENT = Event("event-1", "backup.made", datetime(2026, 1, 2, tzinfo=UTC), {})


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%lo", "fd00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "::ffff:224.0.0.1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "2002:7f00:1::", "2002:a00:1::",
    ],
)  # fmt: skip
def test_private_addresses_are_told_in_every_disguise(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.1", "[::ffff:169.254.169.254]"])
def test_a_private_address_in_the_url_is_refused_at_once(open_url, host: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_url(f"webhook+https://{host}/")
    assert "allow-private=yes" in refused.value.hint


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_a_name_that_leads_home_is_not_connected_to(receiver, open_url, ca_file: Path, host: str) -> None:
    notifier = open_url(f"webhook+https://{host}:{receiver.port}/?ca-file={ca_file}")
    with pytest.raises(NotifierUnavailable, match="has no public address") as refused:
        notifier.deliver(EVENT)
    assert "allow-private=yes" in refused.value.hint
    assert receiver.requests == []


@pytest.fixture
def open_with(receiver, ca_file: Path) -> abc.Callable[..., WebhookNotifier]:
    """A notifier for localhost whose names are looked up by the test."""

    def open_with(lookup, *, allow_private: bool) -> WebhookNotifier:
        return WebhookNotifier(
            "localhost",
            receiver.port,
            "/",
            [SecretText(receiver.secret)],
            trust(ca_file),
            system_id="5" * 32,
            allow_private=allow_private,
            seconds=5,
            lookup=lookup,
        )

    return open_with


def test_a_name_is_looked_up_once_and_that_address_is_connected_to(
    receiver, open_with, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the second answer leads home. There must be no second question."""
    looked_up: list[str] = []
    connected: list[str] = []
    home = socket.create_connection

    def rebinding(host: str, _port: int) -> tuple[str, ...]:
        looked_up.append(host)
        return ("8.8.8.8",) if len(looked_up) == 1 else ("127.0.0.1",)

    def create_connection(at: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(at[0])
        return home(("127.0.0.1", receiver.port), timeout)  # nobody is disturbed at 8.8.8.8

    monkeypatch.setattr(socket, "create_connection", create_connection)
    notifier = open_with(rebinding, allow_private=False)
    notifier.deliver(EVENT)
    assert (looked_up, connected) == (["localhost"], ["8.8.8.8"])
    with pytest.raises(NotifierUnavailable, match="has no public address"):
        notifier.deliver(EVENT)
    assert len(receiver.requests) == 1


def test_of_several_addresses_private_ones_are_left_out(open_with, monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[str] = []

    def create_connection(at: tuple[str, int], _timeout: float) -> socket.socket:
        connected.append(at[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", create_connection)
    notifier = open_with(lambda _host, _port: ("10.0.0.1", "8.8.8.8", "::1", "2606:4700::1111"), allow_private=False)
    with pytest.raises(NotifierUnavailable, match="Connection refused"):
        notifier.deliver(EVENT)
    assert connected == ["8.8.8.8", "2606:4700::1111"]


def test_the_next_address_is_tried_when_one_is_dead(receiver, open_with) -> None:
    open_with(lambda _host, _port: ("127.9.9.9", "127.0.0.1"), allow_private=True).deliver(EVENT)
    assert len(receiver.deliveries) == 1


def test_a_name_that_nobody_knows_is_repeated(open_url) -> None:
    with pytest.raises(NotifierUnavailable, match="cannot be reached"):
        open_url("webhook+https://no-such-host.invalid/").deliver(EVENT)
