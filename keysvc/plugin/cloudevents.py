"""An event as JSON: a CloudEvent 1.0 (https://github.com/cloudevents/spec), in structured mode. Every notifier that
sends JSON sends this, so that a receiver needs to know one shape: docs/reference/events.md."""

from __future__ import annotations

from datetime import UTC

from keysvc.model import Event

CONTENT_TYPE = "application/cloudevents+json"
DATA_VERSION = 1
"""Rises when the meaning of a member changes or a member goes; a new one does not raise it."""


def cloudevent(event: Event, system_id: str) -> dict[str, object]:
    """What receivers see. The same event delivered again is the same object."""
    subject = event.detail.get("subject")
    attributes: dict[str, object] = {
        "specversion": "1.0",
        "id": event.event_id,
        "source": f"urn:keysvc:{system_id}",
        "type": f"org.keysvc.{event.kind}.v{DATA_VERSION}",
        "time": event.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "severity": event.severity.value,
        "datacontenttype": "application/json",
        "data": dict(event.detail),
    }
    # CloudEvents strings hold no control characters; the data has the subject as it is.
    if isinstance(subject, str) and subject and subject.isprintable():
        attributes["subject"] = subject
    return attributes
