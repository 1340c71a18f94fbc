"""A message is what RFC 5424 says, whatever is in an event."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import hypothesis
import pytest
from hypothesis import strategies
from keysvc_syslog.message import message

from keysvc.plugin import Event, Severity

ANYTHING = strategies.text(strategies.characters(codec=None))  # surrogates too
# RFC 5424, section 6, as far as keysvc uses it; the groups of an element and of the message.
RFC_5424 = re.compile(
    rb"<(\d{1,3})>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [!-~]{1,255} [!-~]{1,48} [!-~]{1,128} [!-~]{1,32} "
    rb'(\[[!-~]{1,32}(?: [!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*\]) (.*)',
    re.DOTALL,
)


def made(event: Event, limit: int = 2048) -> bytes:
    return message(event, "5" * 32, facility=10, hostname="keysvc.example.com", process_id=42, limit=limit)


def event(kind: str = "rotation.started", **detail: str | int | bool) -> Event:
    return Event("event-1", kind, datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1))), detail)


def test_it_is_this_line() -> None:
    assert made(event(subject="version 2")) == (
        b"<85>1 2026-01-02T02:04:05.000000Z keysvc.example.com keysvc 42 rotation.started "
        b'[keysvc@32473 event="event-1" kind="rotation.started" system="55555555555555555555555555555555" '
        b'subject="version 2"] rotation.started: version 2'
    )


def test_quotes_backslashes_and_brackets_are_escaped() -> None:
    assert rb'subject="a\"b\\c\]d[e"' in made(event(subject='a"b\\c]d[e'))


@pytest.mark.parametrize(("subject", "marked"), [("version 2", False), ("Schlüssel", True)])
def test_the_byte_order_mark_is_there_when_it_is_more_than_ascii(subject: str, marked: bool) -> None:
    text = made(event(subject=subject)).rpartition(b'"] ')[2]
    assert text.startswith(b"\xef\xbb\xbfrotation.started: ") is marked
    assert text.decode("utf-8-sig") == f"rotation.started: {subject}"


@pytest.mark.parametrize(
    ("severity", "number"),
    [(Severity.ERROR, 3), (Severity.WARNING, 4), (Severity.NOTICE, 5), (Severity.INFORMATIONAL, 6)],
)
def test_the_severity_is_that_of_the_event(severity: Severity, number: int) -> None:
    assert made(replace(event(), severity=severity)).startswith(f"<{10 * 8 + number}>1 ".encode())


def test_names_are_cut_to_what_rfc_5424_allows() -> None:
    whole = made(event("k" * 40, **{"n" * 40: "x", "": "y", 'a="b]': "z"}))
    assert f" {'k' * 32} [".encode() in whole
    assert f' {"n" * 32}="x" -="y" a__b_="z"]'.encode() in whole
    assert RFC_5424.fullmatch(whole)


def test_what_does_not_fit_is_left_out_whole_and_that_is_said() -> None:
    whole = made(event(first="a" * 300, second="b" * 1500, third=3), limit=1000)
    assert len(whole) <= 1000
    assert b'first="' + b"a" * 300 + b'" third="3" truncated="yes"]' in whole
    assert b"second" not in whole


def test_it_is_never_longer_than_allowed_and_always_well_formed() -> None:
    detail = {f"member-{number}": "é" * 30 for number in range(6)}
    for limit in range(300, 900):
        whole = made(event(**detail), limit)
        assert len(whole) <= limit
        assert RFC_5424.fullmatch(whole)


def test_a_message_that_just_fits_is_whole() -> None:
    just = made(event(filler="a" * 500), limit=10_000)
    assert b"truncated" not in made(event(filler="a" * 500), limit=len(just) + len(' truncated="yes"'))


@hypothesis.settings(deadline=None)  # a machine that is busy is no mistake
@hypothesis.given(ANYTHING, strategies.dictionaries(ANYTHING, ANYTHING | strategies.integers() | strategies.booleans()))
def test_whatever_an_event_says_it_is_one_message_of_rfc_5424(
    subject: str, detail: dict[str, str | int | bool]
) -> None:
    happened = datetime(2026, 1, 2, tzinfo=UTC)
    whole = made(Event("event-1", "backup.made", happened, {"subject": subject, **detail}))
    found = RFC_5424.fullmatch(whole)
    assert found
    assert len(whole) <= 2048
    assert whole.decode("utf-8").isprintable() or whole.count(b"\xef\xbb\xbf") == 1
    assert b"\n" not in whole
