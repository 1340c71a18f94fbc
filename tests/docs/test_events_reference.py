"""docs/reference/events.md is the catalogue."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

from keysvc.cloudevents import cloudevent
from keysvc.master.events import EventKind
from keysvc.model import Event

PAGE = (Path(__file__).parents[2] / "docs/reference/events.md").read_text("utf-8")


def test_the_table_is_the_catalogue() -> None:
    table = [f"| `{kind}` | {kind.severity} | {kind.meaning} |" for kind in EventKind]
    assert [line for line in PAGE.splitlines() if line.startswith("| `")] == table


def test_the_example_is_what_is_sent_and_each_attribute_is_explained() -> None:
    shown = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert shown
    example = json.loads(shown[1])
    happened = datetime.fromisoformat(example["time"])
    event = Event(example["id"], "rotation.started", happened, example["data"], EventKind.ROTATION_STARTED.severity)
    assert cloudevent(event, example["source"].removeprefix("urn:keysvc:")) == example
    table = PAGE.partition("| attribute |")[2].partition("##")[0]
    assert re.findall(r"^\| ([a-z]+) \|", table, re.MULTILINE) == list(example)
