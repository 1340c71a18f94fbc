"""Against rsyslog, over each transport that it has."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import socket
import ssl
import threading
import time
from collections import abc
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from keysvc_syslog.notifier import SyslogNotifier
from keysvc_syslog.transports import Stream, UnixSocket

from keysvc.plugin import Event, NotifierRefused, NotifierUnavailable
from keysvc.plugin.loading import Plugins
from keysvc.testing import NotifierConformance

TRANSPORTS = ["unix", "udp", "tcp", "tls"]
SYSTEM_ID = "5" * 32


def event(number: int = 1, kind: str = "rotation.started", **detail: str | int | bool) -> Event:
    return Event(f"event-{number}-end", kind, datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), detail)


def ids(lines: abc.Iterable[abc.Mapping[str, str]]) -> list[str]:
    return [re.findall(r'event="([^"]+)"', line["data"])[0] for line in lines]


class OverAnyTransport(NotifierConformance):
    transport = ""

    @pytest.fixture
    def open_notifier(self, rsyslog):
        return lambda: rsyslog.open(self.transport)

    @pytest.fixture
    def received(self, rsyslog):
        return lambda: [f"{line}" for line in rsyslog.received(self.transport)]


class TestUnixSocket(OverAnyTransport):
    transport = "unix"


class TestUDP(OverAnyTransport):
    transport = "udp"


class TestTCP(OverAnyTransport):
    transport = "tcp"


class TestTLS(OverAnyTransport):
    transport = "tls"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_rsyslog_reads_every_field(rsyslog, transport: str) -> None:
    rsyslog.open(transport, **({} if transport == "unix" else {"facility": "local3"})).deliver(
        event(subject='version "2" of [1]\\', forced=False, rows=7)
    )
    (line,) = rsyslog.received(transport)
    del line["raw"]
    assert line == {
        "facility": "authpriv" if transport == "unix" else "local3",
        "severity": "notice",
        "version": "1",
        "at": "2026-01-02T03:04:05.000678Z",
        "hostname": socket.gethostname(),
        "application": "keysvc",
        "process": str(os.getpid()),
        "message_id": "rotation.started",
        "data": f'[keysvc@32473 event="event-1-end" kind="rotation.started" system="{SYSTEM_ID}" '
        r'subject="version \"2\" of [1\]\\" forced="False" rows="7"]',
        "text": 'rotation.started: version "2" of [1]\\',
    }


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_unicode_and_newlines_stay_in_one_message(rsyslog, transport: str) -> None:
    rsyslog.open(transport).deliver(event(subject='a\r\n<14>1 - - evil - - - x\n"]\u2028\x00 ünïcödé 🔑 \ud800'))
    (line,) = rsyslog.received(transport)
    assert line["text"].removeprefix("\ufeff").startswith(r"rotation.started: a\r\n<14>1 - - evil")
    assert "ünïcödé 🔑" in line["text"]
    assert "ünïcödé 🔑" in line["data"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_message_is_as_long_as_its_transport_allows(rsyslog, transport: str) -> None:
    limit = 2048 if transport == "udp" else 8192
    rsyslog.open(transport).deliver(event(subject="version 2", long="é" * (limit // 2), rows=7))
    (line,) = rsyslog.received(transport)
    assert 'subject="version 2" rows="7" truncated="yes"]' in line["data"]
    rsyslog.open(transport).deliver(event(2, fits="x" * (limit - 300)))
    assert f'fits="{"x" * (limit - 300)}"]' in rsyslog.received(transport)[1]["data"]


@pytest.mark.parametrize("transport", ["unix", "tcp", "tls"])
def test_a_receiver_that_is_down_gets_everything_when_it_is_back(mortal_rsyslog, transport: str) -> None:
    notifier = mortal_rsyslog.open(transport)
    mortal_rsyslog.kill()
    with pytest.raises(NotifierUnavailable, match="Connection refused"):
        notifier.deliver(event())
    mortal_rsyslog.start()
    notifier.deliver(event())
    assert ids(mortal_rsyslog.received(transport)) == ["event-1-end"]


def test_over_udp_nobody_notices_a_receiver_that_is_down(mortal_rsyslog) -> None:
    notifier = mortal_rsyslog.open("udp")
    mortal_rsyslog.kill()
    notifier.deliver(event(1))
    mortal_rsyslog.start()
    notifier.deliver(event(2))
    assert ids(mortal_rsyslog.received("udp")) == ["event-2-end"]


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_receiver_killed_in_the_middle_gets_what_it_did_not_accept_again_and_in_order(
    mortal_rsyslog, transport: str
) -> None:
    notifier = mortal_rsyslog.open(transport)
    repeated: list[int] = []

    def deliver(number: int) -> None:
        while True:
            try:
                return notifier.deliver(event(number))
            except NotifierUnavailable:
                repeated.append(number)
                time.sleep(0.02)

    def kill_and_start_again() -> None:
        mortal_rsyslog.kill()
        mortal_rsyslog.start()

    for number in range(20):
        deliver(number)
    killer = threading.Thread(target=kill_and_start_again)
    killer.start()
    next_number = 20
    while not repeated:
        deliver(next_number)
        next_number += 1
    killer.join()
    for number in range(next_number, next_number + 20):
        deliver(number)

    found = [int(name.split("-")[1]) for name in ids(mortal_rsyslog.received(transport))]
    assert found == sorted(found)
    # What rsyslog had read when it was killed, and had not written, is lost: its queue is in memory.
    assert set(range(repeated[0], next_number + 20)) <= set(found)


@pytest.fixture
def listener() -> abc.Iterator[socket.socket]:
    """A port that connects, and what happens there is up to the test."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def impatient(listener: socket.socket) -> SyslogNotifier:
    at = listener.getsockname()
    return SyslogNotifier(Stream(at[0], at[1], None), facility=1, system_id=SYSTEM_ID, seconds=0.3)


def test_a_receiver_that_does_not_read_is_given_up(listener: socket.socket) -> None:
    with pytest.raises(NotifierUnavailable, match="it took too long"):
        impatient(listener).deliver(event())


def test_octets_are_counted_and_the_end_is_said(listener: socket.socket, authority: trustme.CA, tmp_path: Path) -> None:
    """RFC 5425, sections 4.3.1 and 4.4; rsyslog would put up with less."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    received: list[bytes] = []

    def serve() -> None:
        plain, _ = listener.accept()
        with context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False) as connection:
            while octets := connection.recv(65536):
                received.append(octets)
        received.append(b"and said goodbye")

    server = threading.Thread(target=serve)
    server.start()
    url = f"syslog+tls://localhost:{listener.getsockname()[1]}?ca-file={tmp_path}/authority.pem"
    Plugins().notifiers.open(url, pytest.fail, SYSTEM_ID).deliver(event(subject="é"))
    server.join()
    *frames, goodbye = received
    count, _, message = b"".join(frames).partition(b" ")
    assert (int(count), goodbye) == (len(message), b"and said goodbye")


def read_and_answer(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass
    connection.sendall(b"x")
    connection.recv(1)


def die_unread(connection: socket.socket) -> None:
    connection.recv(1, socket.MSG_PEEK)


@pytest.mark.parametrize(
    ("behave", "problem"),
    [(read_and_answer, "it answers"), (die_unread, "Connection reset by peer|endpoint is not connected")],
)
def test_a_receiver_that_answers_or_dies_unread_is_repeated(listener: socket.socket, behave, problem: str) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            behave(connection)

    server = threading.Thread(target=serve)
    server.start()
    with pytest.raises(NotifierUnavailable, match=problem):
        impatient(listener).deliver(event())
    server.join()


def test_a_unix_socket_whose_reader_sleeps_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sleeper:
        sleeper.bind(str(tmp_path / "log"))
        notifier = SyslogNotifier(UnixSocket(tmp_path / "log"), facility=1, system_id=SYSTEM_ID, seconds=0.3)
        with pytest.raises(NotifierUnavailable, match="it took too long"):
            collections.deque(map(notifier.deliver, map(event, range(5000))), maxlen=0)


def test_a_unix_socket_that_is_not_there_is_repeated(tmp_path: Path) -> None:
    notifier = SyslogNotifier(UnixSocket(tmp_path / "log"), facility=1, system_id=SYSTEM_ID)
    with pytest.raises(NotifierUnavailable, match="No such file or directory"):
        notifier.deliver(event())


@pytest.mark.parametrize("host", ["localhost", "elsewhere.example"])
def test_a_certificate_of_another_authority_or_for_another_name_is_not_accepted(
    mortal_rsyslog, authority: trustme.CA, tmp_path: Path, host: str
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    mortal_rsyslog.kill()
    mortal_rsyslog.host = host
    mortal_rsyslog.authority = trustme.CA() if host == "localhost" else authority
    mortal_rsyslog.start()
    with pytest.raises(NotifierUnavailable, match="its certificate is not accepted"):
        mortal_rsyslog.open("tls", **{"ca-file": tmp_path / "trusted.pem"}).deliver(event())
    assert mortal_rsyslog.received("tcp") == []


def test_a_client_certificate_is_shown_to_a_receiver_that_asks(rsyslog, client_certificate) -> None:
    rsyslog.open("mutual_tls", **{"client-certificate": client_certificate()}).deliver(event())
    assert ids(rsyslog.received()) == ["event-1-end"]


@pytest.mark.parametrize("name", [None, "somebody-else.example.com"])
def test_a_receiver_that_rejects_the_client_has_not_accepted_the_event(rsyslog, client_certificate, name) -> None:
    """With TLS 1.3 the client learns of it only after it has sent the message."""
    options = {"client-certificate": client_certificate(name)} if name else {}
    with pytest.raises(NotifierUnavailable):
        rsyslog.open("mutual_tls", **options).deliver(event())
    assert rsyslog.received() == []


# -- receivers that read lines, and receivers that never close ---------------------------------------------------------


@contextlib.contextmanager
def reading(listener: socket.socket) -> abc.Iterator[list[bytes]]:
    """Read what comes on each connection, and close none of them until the context ends."""
    received: list[bytes] = []
    held: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                held.append(connection)
                received.append(b"".join(iter(lambda connection=connection: connection.recv(65536), b"")))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield received
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_rsyslog_reads_messages_that_a_newline_ends(rsyslog, transport: str) -> None:
    notifier = Plugins().notifiers.open(rsyslog.url(transport, framing="newline"), pytest.fail, SYSTEM_ID)
    for number in range(900, 903):
        notifier.deliver(event(number, subject="two\nlines"))
    found = [line for line in rsyslog.received(transport) if "event-90" in line["data"]]
    assert ids(found) == [f"event-{number}-end" for number in range(900, 903)]
    assert all(line["raw"].startswith("<") for line in found)


def test_a_message_that_a_newline_ends_has_one_and_no_count(listener: socket.socket) -> None:
    url = f"syslog+tcp://127.0.0.1:{listener.getsockname()[1]}?framing=newline&receipt=none"
    with reading(listener) as received:
        Plugins().notifiers.open(url, pytest.fail, SYSTEM_ID).deliver(event(subject="two\nlines"))
        (line,) = received
    assert line.startswith(b"<")
    assert line.index(b"\n") == len(line) - 1


def test_an_event_is_sent_three_times_at_most_to_a_receiver_that_does_not_close(listener: socket.socket) -> None:
    notifier, waits = impatient(listener), []
    with reading(listener) as received:
        for _ in range(2):
            with pytest.raises(NotifierUnavailable, match="took too long to close the connection") as put_off:
                notifier.deliver(event())
            waits.append(put_off.value.retry_after)
        with pytest.raises(NotifierRefused, match="close the connection behind the message, 3 times") as refused:
            notifier.deliver(event())
        with pytest.raises(NotifierUnavailable):
            notifier.deliver(event(2))
        assert len(received) == 4
    assert waits == [60, 600]
    assert "receipt=none" in refused.value.hint


@pytest.mark.parametrize("receipt", [True, False])
def test_a_receiver_that_dies_unread_has_accepted_nothing_with_or_without_receipt(
    listener: socket.socket, receipt: bool
) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            die_unread(connection)

    server = threading.Thread(target=serve)
    server.start()
    at = listener.getsockname()
    notifier = SyslogNotifier(Stream(at[0], at[1], None, receipt=receipt), facility=1, system_id=SYSTEM_ID, seconds=9)
    with pytest.raises(NotifierUnavailable, match=r"Connection reset by peer|endpoint is not connected"):
        notifier.deliver(event())
    server.join()
