"""What people read, and that nothing in an event becomes a header, a line or an element of its own."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import hypothesis
from hypothesis import strategies
from keysvc_smtp.message import message

from keysvc.plugin import Event

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
ANYTHING = strategies.text(strategies.characters(codec=None))  # surrogates too
HOSTILE = "x</td><script>alert(1)</script>\r\nBcc: everybody@example.com\r\n\r\n.\r\n\u2028 ünïcödé 🔑 \x00 \ud800"


def parsed(**detail: str | int | bool) -> EmailMessage:
    """As a reader's program sees it."""
    happened = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))
    event = Event("event-1", "rotation.started", happened, detail)
    content = message(event, "5" * 32, "keysvc@example.com", ["ops@example.com"]).as_bytes()
    assert max(content) < 128
    return message_from_bytes(content, EmailMessage, policy=default)


def bodies(mail: EmailMessage) -> tuple[str, str]:
    text, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert page is not None
    return text.get_content().replace("\r\n", "\n"), page.get_content()


def test_people_read_what_when_where_and_to_what() -> None:
    mail = parsed(subject="version 2", rows=7, forced=False)
    text, page = bodies(mail)
    assert mail["Subject"] == "[keysvc] rotation.started: version 2"
    assert text == (
        "rotation.started: version 2\n\n"
        "event: rotation.started\n"
        "severity: notice\n"
        "happened: 2026-01-02 02:04:05 UTC\n"
        f"system: {'5' * 32}\n"
        "event id: event-1\n"
        "subject: version 2\n"
        "rows: 7\n"
        "forced: False\n"
    )
    assert '<tr><th align="left">rows</th><td>7</td></tr>' in page


def test_no_program_answers_it() -> None:
    assert parsed()["Auto-Submitted"] == "auto-generated"


def test_what_an_event_says_stays_where_it_belongs() -> None:
    mail = parsed(subject=HOSTILE, **{HOSTILE: HOSTILE})
    text, page = bodies(mail)
    assert mail.keys() == HEADERS
    assert len(text.splitlines()) == 9
    assert "<script>" not in page
    assert "ünïcödé 🔑" in mail["Subject"]
    assert "ünïcödé 🔑" in text
    assert "ünïcödé 🔑" in page
    assert r"\r\nBcc: everybody@example.com\r\n" in text


def test_a_long_subject_is_cut_and_whole_in_the_text() -> None:
    mail = parsed(subject="é" * 5000)
    assert len(mail["Subject"]) <= 210
    assert "é" * 5000 in bodies(mail)[0]


@hypothesis.settings(deadline=None)  # a machine that is busy is no mistake
@hypothesis.given(
    strategies.text(strategies.characters(codec=None)), strategies.text(strategies.characters(codec=None))
)
def test_any_text_makes_the_same_headers_and_the_same_lines(name: str, value: str) -> None:
    mail = parsed(**{name: value, "subject": value})
    assert mail.keys() == HEADERS
    assert len(bodies(mail)[0].split("\n")) == len(bodies(parsed(**{name: "x", "subject": "x"}))[0].split("\n"))
