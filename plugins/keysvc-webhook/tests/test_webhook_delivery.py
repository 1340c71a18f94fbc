"""Against an HTTPS server that checks signatures as any receiver would."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import abc
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import pytest
import trustme
from keysvc_webhook.notifier import WebhookNotifier, trust

from keysvc.plugin import Event, NotifierRefused, NotifierUnavailable, SecretText
from keysvc.testing import NotifierConformance
from keysvc.testing.conformance import assert_no_leak, told

SYSTEM_ID = "5" * 32
SECOND = "whsec_" + "B" * 44


def event(number: int = 1, **detail: str | int | bool) -> Event:
    return Event(f"event-{number}", "rotation.started", datetime(2026, 1, 2, tzinfo=UTC), detail)


class TestTheWebhook(NotifierConformance):
    @pytest.fixture
    def open_notifier(self, open_notifier):
        return open_notifier

    @pytest.fixture
    def received(self, receiver):
        return lambda: [f"{delivery}" for delivery in receiver.deliveries]


@pytest.fixture
def impatient(receiver, ca_file) -> WebhookNotifier:
    """As the receiver's, with half a second for a delivery."""
    return WebhookNotifier(
        "localhost",
        receiver.port,
        "/hook",
        [SecretText(receiver.secret)],
        trust(ca_file),
        system_id=SYSTEM_ID,
        allow_private=True,
        seconds=0.5,
    )


def test_a_receiver_sees_a_cloudevent_and_the_id_that_it_drops_duplicates_by(receiver, open_notifier) -> None:
    open_notifier().deliver(event(subject="version 2", forced=False, rows=7))
    open_notifier().deliver(event(subject="version 2", forced=False, rows=7))
    first, second = receiver.deliveries
    assert first == second
    assert first == {
        "specversion": "1.0",
        "id": "event-1",
        "source": f"urn:keysvc:{SYSTEM_ID}",
        "type": "org.keysvc.rotation.started.v1",
        "time": "2026-01-02T00:00:00Z",
        "severity": "notice",
        "datacontenttype": "application/json",
        "subject": "version 2",
        "data": {"subject": "version 2", "forced": False, "rows": 7},
    }
    headers = receiver.requests[0]
    assert headers["content-type"] == "application/cloudevents+json"
    assert headers["webhook-id"] == "event-1"
    assert headers["host"] == f"localhost:{receiver.port}"


def test_a_subject_that_cloudevents_forbids_is_in_the_data_only(receiver, open_notifier) -> None:
    hostile = 'a\r\nX-Injected: 1\r\n\r\n"]}\u2028\x00 ünïcödé 🔑 \ud800'
    open_notifier().deliver(event(subject=hostile))
    (delivery,) = receiver.deliveries
    assert "subject" not in delivery
    assert delivery["data"]["subject"] == hostile
    assert "x-injected" not in receiver.requests[0]


def test_while_the_secret_changes_either_one_verifies(receiver, ca_file, open_url) -> None:
    url = f"webhook+https://localhost:{receiver.port}/?ca-file={ca_file}&allow-private=yes"
    notifier = open_url(url, f"{receiver.secret} {SECOND}")
    notifier.deliver(event(1))
    receiver.secret = SECOND
    notifier.deliver(event(2))
    assert [delivery["id"] for delivery in receiver.deliveries] == ["event-1", "event-2"]


def test_another_secret_is_refused_by_the_receiver(receiver, ca_file, open_url) -> None:
    url = f"webhook+https://localhost:{receiver.port}/?ca-file={ca_file}&allow-private=yes"
    with pytest.raises(NotifierRefused, match="401"):
        open_url(url, SECOND).deliver(event())


@pytest.mark.parametrize("status", [300, 400, 401, 403, 404, 410, 422, 451])
def test_a_status_that_will_not_change_is_a_refusal(receiver, open_notifier, answers, status: int) -> None:
    receiver.answers = [answers(status)]
    with pytest.raises(NotifierRefused, match=str(status)):
        open_notifier().deliver(event())


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_repeated(receiver, open_notifier, answers, status: int) -> None:
    receiver.answers = [answers(status)]
    notifier = open_notifier()
    with pytest.raises(NotifierUnavailable, match=str(status)):
        notifier.deliver(event())
    notifier.deliver(event())
    assert len(receiver.deliveries) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver, open_notifier, answers, status: int) -> None:
    receiver.answers = [answers(status, {"location": f"https://localhost:{receiver.port}/elsewhere"})]
    with pytest.raises(NotifierRefused) as refused:
        open_notifier().deliver(event())
    assert "redirects are not followed" in refused.value.hint
    assert len(receiver.requests) == 1


def test_a_receiver_that_is_down_gets_everything_when_it_is_back(receiver, open_notifier) -> None:
    notifier = open_notifier()
    receiver.stop()
    with pytest.raises(NotifierUnavailable, match="localhost cannot be reached: Connection refused"):
        notifier.deliver(event())
    receiver.start()
    notifier.deliver(event())
    assert [delivery["id"] for delivery in receiver.deliveries] == ["event-1"]


def test_a_receiver_killed_before_it_answers_gets_the_same_id_again(receiver, open_notifier) -> None:
    def die(request: BaseHTTPRequestHandler) -> None:
        request.connection.shutdown(socket.SHUT_RDWR)

    receiver.answers = [die]
    notifier = open_notifier()
    with pytest.raises(NotifierUnavailable):
        notifier.deliver(event())
    notifier.deliver(event())
    assert [request["webhook-id"] for request in receiver.requests] == ["event-1", "event-1"]


def test_a_receiver_that_never_answers_is_given_up(receiver, impatient: WebhookNotifier) -> None:
    receiver.answers = [lambda _request: receiver.released.wait(60) and None]
    with pytest.raises(NotifierUnavailable, match="it took too long"):
        impatient.deliver(event())


def test_a_receiver_that_answers_byte_by_byte_is_given_up(receiver, impatient: WebhookNotifier) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 204 ")
        while not receiver.released.wait(0.05):
            request.wfile.write(b"x")

    receiver.answers = [drip]
    with pytest.raises(NotifierUnavailable, match="it took too long"):
        impatient.deliver(event())


def test_a_listener_that_never_shakes_hands_is_given_up(receiver, impatient: WebhookNotifier) -> None:
    receiver.stop()
    with socket.create_server(("127.0.0.1", receiver.port)), pytest.raises(NotifierUnavailable, match="too long"):
        impatient.deliver(event())


def test_an_endless_answer_is_not_read(receiver, open_notifier) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not receiver.released.is_set():
            request.wfile.write(bytes(65536))

    receiver.answers = [endless]
    open_notifier().deliver(event())


def test_headers_without_end_are_not_read_to_their_end(receiver, open_notifier) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not receiver.released.is_set():
            request.wfile.write(b"x: y\r\n" * 1000)

    receiver.answers = [endless]
    with pytest.raises(NotifierUnavailable, match="does not speak HTTP"):
        open_notifier().deliver(event())


def test_a_peer_that_does_not_speak_http_is_repeated(receiver, open_notifier) -> None:
    receiver.answers = [lambda request: request.wfile.write(b"220 mail.example.com ESMTP\r\n") and None]
    with pytest.raises(NotifierUnavailable, match="does not speak HTTP"):
        open_notifier().deliver(event())


def test_a_certificate_of_another_authority_is_not_accepted(receiver, open_notifier) -> None:
    receiver.stop()
    receiver.authority = trustme.CA()
    receiver.start()
    with pytest.raises(NotifierUnavailable, match="certificate is not accepted"):
        open_notifier().deliver(event())
    assert receiver.requests == []


def test_a_certificate_for_another_name_is_not_accepted(receiver, open_notifier) -> None:
    receiver.stop()
    receiver.host = "elsewhere.example"
    receiver.start()
    with pytest.raises(NotifierUnavailable, match="certificate is not accepted: Hostname mismatch"):
        open_notifier().deliver(event())
    assert receiver.requests == []


def test_tls_before_1_2_is_not_spoken(receiver, open_notifier) -> None:
    receiver.stop()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        receiver.start(ssl.TLSVersion.TLSv1_1)
    with pytest.raises(NotifierUnavailable):
        open_notifier().deliver(event())
    assert receiver.requests == []


def test_several_threads_may_deliver(receiver, open_notifier) -> None:
    notifier = open_notifier()
    threads = [threading.Thread(target=notifier.deliver, args=(event(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(delivery["id"] for delivery in receiver.deliveries) == [f"event-{number}" for number in range(8)]


def test_the_secret_is_shown_nowhere(
    receiver, open_notifier, answers, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    notifier = open_notifier()
    errors: list[BaseException] = []
    deliveries: list[abc.Callable[[], None]] = [lambda: receiver.answers.append(answers(500)), receiver.stop]
    for spoil in deliveries:
        spoil()
        with pytest.raises(NotifierUnavailable) as refused:
            notifier.deliver(event())
        errors.append(refused.value)
    texts = [text for error in errors for text in told(error)]
    assert_no_leak(receiver.secret.encode(), notifier, vars(notifier), caplog.text, *capfd.readouterr(), *texts)
    assert receiver.secret not in "".join([repr(vars(notifier)), caplog.text, *texts])


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30),
        ({"retry-after": "Fri, 02 Jan 2026 00:02:00 GMT", "date": "Fri, 02 Jan 2026 00:00:00 GMT"}, 120),
        ({"retry-after": "Fri, 02 Jan 2026 00:00:00 GMT", "date": "Fri, 02 Jan 2026 00:02:00 GMT"}, 0),
        ({"retry-after": "Friday, 02-Jan-26 00:02:00 GMT", "date": "Fri, 02 Jan 2026 00:00:00 GMT"}, 120),
        ({"retry-after": "in a while"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_a_receiver_says_when_the_event_may_come_again(
    receiver, open_notifier, status: int, headers: dict[str, str], seconds: float | None
) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "content-length": "0"}.items())
        request.wfile.write(f"HTTP/1.1 {status} Later\r\n{lines}\r\n".encode())
        request.close_connection = True

    receiver.answers = [answer]
    with pytest.raises(NotifierUnavailable) as put_off:
        open_notifier().deliver(event())
    assert put_off.value.retry_after == seconds
