"""Against a mail server of aiosmtpd that insists on TLS and on a password."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections import abc
from datetime import UTC, datetime

import pytest
import trustme
from keysvc_smtp.notifier import MailNotifier
from keysvc_smtp.session import Security, Server, trust

from keysvc.plugin import Event, NotifierRefused, NotifierUnavailable
from keysvc.testing import NotifierConformance
from keysvc.testing.conformance import assert_no_leak, told

PASSWORD = "correct horse battery staple"


def event(number: int = 1, **detail: str | int | bool) -> Event:
    return Event(f"event-{number}", "rotation.started", datetime(2026, 1, 2, tzinfo=UTC), detail)


def text_of(mail) -> str:
    return "".join(f"{name}: {value}\n" for name, value in mail.items()) + mail.get_body(("plain",)).get_content()


class TestMail(NotifierConformance):
    @pytest.fixture
    def open_notifier(self, open_notifier):
        return open_notifier

    @pytest.fixture
    def received(self, server):
        return lambda: [text_of(mail) for mail in server.mails]


@pytest.fixture
def listener() -> abc.Iterator[socket.socket]:
    """A port that connects, and what is said there is up to the test."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def impatient(listener: socket.socket) -> MailNotifier:
    """For the listener, with half a second for a delivery."""
    return MailNotifier(
        Server("localhost", listener.getsockname()[1], Security.STARTTLS, trust(None)),
        sender="keysvc@example.com",
        recipients=["ops@example.com"],
        system_id="5" * 32,
        seconds=0.5,
    )


def test_the_same_event_is_the_same_message(server, open_notifier) -> None:
    notifier = open_notifier()
    notifier.deliver(event(subject="version 2"))
    notifier.deliver(event(subject="version 2"))
    first, second = server.mails
    assert first["Message-ID"] == second["Message-ID"] == "<event-1@example.com>"
    assert first["Date"] == second["Date"] == "Fri, 02 Jan 2026 00:00:00 +0000"


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # aiosmtpd means STARTTLS
def test_smtps_is_tls_from_the_first_byte(authority: trustme.CA, server, open_url, url) -> None:
    server.stop()
    server.implicit_tls = True
    server.start()
    open_url(url(scheme="smtps")).deliver(event())
    assert len(server.mails) == 1


def test_all_recipients_are_told_in_one_mail(server, open_notifier) -> None:
    open_notifier("a@example.com,b+c@example.com,a@example.com").deliver(event())
    assert server.recipients == [["a@example.com", "b+c@example.com"]]
    assert server.mails[0]["To"] == "a@example.com, b+c@example.com"


def test_a_recipient_refused_for_good_is_named_and_the_others_are_told(server, open_notifier) -> None:
    server.answers["b@example.com"] = "550 5.1.1 no such user"
    notifier = open_notifier("a@example.com,b@example.com,c@example.com")
    with pytest.raises(NotifierRefused, match=r"took 2 of 3 recipients and refused b@example.com \(550 5.1.1\)"):
        notifier.deliver(event())
    assert server.recipients == [["a@example.com", "c@example.com"]]

    server.answers.clear()  # the operator mended it and delivers the parked event again
    notifier.deliver(event())
    assert server.recipients[1:] == [["b@example.com"]]


def test_a_recipient_put_off_is_told_later_and_nobody_twice(server, open_notifier) -> None:
    server.answers |= {"a@example.com": "451 4.7.1 greylisted", "b@example.com": "550 5.1.1 no such user"}
    notifier = open_notifier("a@example.com,b@example.com,c@example.com")
    with pytest.raises(NotifierUnavailable, match=r"took 1 of 3 recipients and put off a@example.com \(451 4.7.1\)"):
        notifier.deliver(event())
    del server.answers["a@example.com"]
    with pytest.raises(NotifierRefused, match=r"took 2 of 3 recipients and refused b@example.com \(550 5.1.1\)"):
        notifier.deliver(event())
    assert server.recipients == [["c@example.com"], ["a@example.com"]]


def test_another_event_goes_to_everybody_again(server, open_notifier) -> None:
    server.answers["a@example.com"] = "451 4.7.1 greylisted"
    notifier = open_notifier("a@example.com,b@example.com")
    with pytest.raises(NotifierUnavailable):
        notifier.deliver(event(1))
    server.answers.clear()
    notifier.deliver(event(2))
    assert server.recipients == [["b@example.com"], ["a@example.com", "b@example.com"]]


@pytest.mark.parametrize("command", ["MAIL", "ops@example.com", "DATA"])
@pytest.mark.parametrize(("reply", "problem"), [("451 4.3.0 later", NotifierUnavailable), ("554 no", NotifierRefused)])
def test_a_reply_of_4yz_is_repeated_and_one_of_5yz_is_a_refusal(
    server, open_notifier, command: str, reply: str, problem: type[Exception]
) -> None:
    server.answers[command] = reply
    notifier = open_notifier()
    with pytest.raises(problem, match=reply[:3]):
        notifier.deliver(event())
    assert server.mails == []
    server.answers.clear()
    notifier.deliver(event())
    assert len(server.mails) == 1


def test_a_server_that_closes_down_is_repeated(server, open_notifier) -> None:
    server.answers["ops@example.com"] = "421 4.3.2 shutting down"
    with pytest.raises(NotifierUnavailable, match=r"421 4.3.2"):
        open_notifier().deliver(event())


def test_a_server_that_is_down_gets_everything_when_it_is_back(server, open_notifier) -> None:
    notifier = open_notifier()
    server.stop()
    with pytest.raises(NotifierUnavailable, match="localhost cannot be used: Connection refused"):
        notifier.deliver(event())
    server.start()
    notifier.deliver(event())
    assert len(server.mails) == 1


def test_a_server_killed_before_it_answers_gets_the_same_message_again(server, open_notifier) -> None:
    server.die_after_data = True
    notifier = open_notifier()
    with pytest.raises(NotifierUnavailable, match="the connection broke"):
        notifier.deliver(event())
    server.die_after_data = False
    notifier.deliver(event())
    assert [mail["Message-ID"] for mail in server.mails] == ["<event-1@example.com>"] * 2


def test_a_wrong_password_is_tried_once(server, open_url, url) -> None:
    with pytest.raises(NotifierRefused, match=r"answered to log in 535 5.7.8"):
        open_url(url(), "wrong").deliver(event())
    assert len(server.attempts) == 1
    assert server.mails == []


def test_a_server_that_cannot_log_in_now_is_repeated(server, open_notifier) -> None:
    server.answers["AUTH"] = "454 4.7.0 try later"
    with pytest.raises(NotifierUnavailable, match=r"454 4.7.0"):
        open_notifier().deliver(event())


def test_without_starttls_nothing_is_sent(server, open_notifier) -> None:
    server.stop()
    server.offers_tls = False
    server.start()
    with pytest.raises(NotifierUnavailable, match="it offers no STARTTLS"):
        open_notifier().deliver(event())
    assert server.mails == []


def test_starttls_can_be_given_up_on_purpose_and_then_no_user_is_allowed(server, open_url) -> None:
    server.stop()
    server.offers_tls = False
    server.start()
    open_url(f"smtp://localhost:{server.port}/?to=a@example.com&from=k@example.com&starttls=no").deliver(event())
    assert len(server.mails) == 1


@pytest.mark.parametrize("host", ["localhost", "elsewhere.example"])
def test_a_certificate_of_another_authority_or_for_another_name_is_not_accepted(
    server, open_notifier, host: str
) -> None:
    server.stop()
    server.host = host
    server.authority = trustme.CA() if host == "localhost" else server.authority
    server.start()
    with pytest.raises(NotifierUnavailable, match="its certificate is not accepted"):
        open_notifier().deliver(event())
    assert (server.attempts, server.mails) == ([], [])


def test_tls_before_1_2_is_not_spoken(server, open_notifier) -> None:
    server.stop()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server.start(ssl.TLSVersion.TLSv1_1)
    with pytest.raises(NotifierUnavailable):
        open_notifier().deliver(event())
    assert server.attempts == []


def test_a_server_that_never_speaks_is_given_up(impatient: MailNotifier) -> None:
    with pytest.raises(NotifierUnavailable, match="it took too long"):
        impatient.deliver(event())


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"220-", "it took too long"),  # and then nothing
        (b"220-mail\r\n" * 20_000, "the connection broke"),  # more than anybody has to say
        (b"hello, who is there?\r\n", "answered -1"),
        (b"554 5.3.2 go away\r\n", "answered 554 5.3.2"),
    ],
)
def test_a_server_that_says_nonsense_is_given_up(
    listener: socket.socket, impatient: MailNotifier, said: bytes, problem: str
) -> None:
    def speak() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(said)
                connection.recv(1)
            except OSError:
                pass

    speaker = threading.Thread(target=speak)
    speaker.start()
    with pytest.raises((NotifierUnavailable, NotifierRefused), match=problem):
        impatient.deliver(event())
    speaker.join()


def test_a_server_that_speaks_byte_by_byte_is_given_up(listener: socket.socket, impatient: MailNotifier) -> None:
    done = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                while not done.wait(0.05):
                    connection.sendall(b"2")
            except OSError:
                pass

    speaker = threading.Thread(target=drip)
    speaker.start()
    with pytest.raises(NotifierUnavailable, match="it took too long"):
        impatient.deliver(event())
    done.set()
    speaker.join()


def test_the_password_is_shown_nowhere(
    server, open_notifier, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    notifier = open_notifier()
    server.answers["AUTH"] = f"535 5.7.8 {PASSWORD} is wrong"
    with pytest.raises(NotifierRefused) as refused:
        notifier.deliver(event())
    server.answers = {"MAIL": f"451 4.3.0 {PASSWORD}"}
    with pytest.raises(NotifierUnavailable) as put_off:
        notifier.deliver(event())
    # aiosmtpd's own log has what it received; ours must not.
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("mail.")]
    texts = [
        *told(refused.value),
        *told(put_off.value),
        *ours,
        *capfd.readouterr(),
        repr(notifier),
        repr(vars(notifier)),
    ]
    assert not [text for text in texts if re.search(PASSWORD, text)]
    assert_no_leak(PASSWORD.encode(), *texts)


# -- who greets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "full", "greeting"),
    [
        ("web-01", "web-01.example.com", "web-01.example.com"),
        ("web-01.example.com", "elsewhere.example.com", "web-01.example.com"),
        ("web-01", "web-01", "[127.0.0.1]"),
        ("web-01", "localhost.localdomain", "[127.0.0.1]"),
        ("web_01.local", "web_01.local", "[127.0.0.1]"),
    ],
)
def test_a_server_is_greeted_with_a_full_name_or_an_address(
    server, open_notifier, monkeypatch: pytest.MonkeyPatch, short: str, full: str, greeting: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: short)
    monkeypatch.setattr("socket.getfqdn", lambda *_: full)
    open_notifier().deliver(event())
    assert set(server.greetings) == {greeting}


@pytest.mark.parametrize("greeting", ["keysvc.example.com", "[192.0.2.1]", "[IPv6:2001:db8::1]", "web-01"])
def test_the_url_says_what_to_greet_with(server, open_url, url, greeting: str) -> None:
    open_url(f"{url()}&ehlo={greeting}").deliver(event())
    assert set(server.greetings) == {greeting}


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("EHLO", "504 5.5.2 <web-01>: need fully-qualified hostname"),
        ("EHLO", "550 you are too often here"),
        ("MAIL", "504 5.5.2 <web-01>: Helo command rejected: need fully-qualified hostname"),
        ("ops@example.com", "504 5.5.2 <web-01>: Helo command rejected: need fully-qualified hostname"),
        ("ops@example.com", "550 4.7.1 greylisted"),
        ("ops@example.com", "552 5.2.2 mailbox full"),
        ("DATA", "554 4.4.2 try later"),
    ],
)
def test_a_refusal_that_may_pass_parks_nothing(server, open_notifier, command: str, reply: str) -> None:
    server.answers[command] = reply
    notifier = open_notifier()
    with pytest.raises(NotifierUnavailable, match=r"5\d\d"):
        notifier.deliver(event())
    server.answers.clear()
    notifier.deliver(event())
    assert len(server.mails) == 1


def test_a_greeting_that_refuses_the_connection_parks_nothing(listener: socket.socket, impatient: MailNotifier) -> None:
    def refuse() -> None:
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(b"554 5.3.2 too many connections\r\n")

    thread = threading.Thread(target=refuse)
    thread.start()
    with pytest.raises(NotifierUnavailable, match="554"):
        impatient.deliver(event())
    thread.join()
