"""An event as a CloudEvent 1.0 (https://github.com/cloudevents/spec), in structured mode."""

from __future__ import annotations

from datetime import UTC

from keysvc.model import Event

CONTENT_TYPE = "application/cloudevents+json"
DATA_VERSION = 1
"""Rises when the meaning of a member of `data` changes; a new member does not raise it."""


def cloudevent(event: Event, system_id: str) -> dict[str, object]:
    """What receivers see:

    - `id`: the event's id; the same event delivered again has the same one
    - `source`: `urn:keysvc:SYSTEM_ID`
    - `type`: `org.keysvc.KIND.v1`, as in `org.keysvc.rotation.started.v1`
    - `time`: when it happened, UTC
    - `subject`: what it happened to, where the event names it in printable characters
    - `severity`: informational, notice, warning or error: an extension attribute
    - `data`: the event's detail, an object of strings, integers and booleans
    """
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
