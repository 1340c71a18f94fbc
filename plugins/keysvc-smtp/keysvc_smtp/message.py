"""An event as a mail: text for those who read text, a table for those who read HTML."""

from __future__ import annotations

import html
from collections import abc
from datetime import UTC
from email.message import EmailMessage
from email.policy import SMTP

from keysvc.plugin import Event

# Seven bits pass through every server, whatever it announces.
POLICY = SMTP.clone(cte_type="7bit")
SUBJECT_CHARACTERS = 200


def message(event: Event, system_id: str, sender: str, recipients: abc.Sequence[str]) -> EmailMessage:
    """The same event makes the same `Message-ID`, so that a mailbox may drop a duplicate, and the same `Date`: when it
    happened. Nothing that an event says can add a header, a line or an HTML element of its own."""
    title = _title(event)
    rows = _rows(event, system_id)
    made = EmailMessage(POLICY)
    made["From"] = sender
    made["To"] = ", ".join(recipients)
    made["Subject"] = f"[keysvc] {title}"
    made["Date"] = event.at.astimezone(UTC)
    made["Message-ID"] = f"<{printable(event.event_id)}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday message answers
    made.set_content("\n".join([title, "", *(f"{name}: {value}" for name, value in rows), ""]))
    made.add_alternative(_page(title, rows), subtype="html")
    return made


def printable(value: str | int | bool) -> str:
    """On one line: what is not printable is escaped as in Python."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value))


def _title(event: Event) -> str:
    subject = event.detail.get("subject", "")
    title = printable(f"{event.kind}: {subject}" if subject != "" else event.kind)
    return title if len(title) <= SUBJECT_CHARACTERS else title[: SUBJECT_CHARACTERS - 1] + "…"


def _rows(event: Event, system_id: str) -> list[tuple[str, str]]:
    happened = f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    known = {"event": event.kind, "severity": event.severity.value, "happened": happened, "system": system_id}
    known["event id"] = event.event_id
    return [(printable(name), printable(value)) for name, value in [*known.items(), *event.detail.items()]]


def _page(title: str, rows: abc.Sequence[tuple[str, str]]) -> str:
    cells = "\n".join(
        f'<tr><th align="left">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>' for name, value in rows
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><title>{html.escape(title)}</title></head>\n'
        f"<body><p>{html.escape(title)}</p>\n<table>\n{cells}\n</table></body></html>\n"
    )
