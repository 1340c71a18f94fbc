"""docs/reference/events.md is the catalogue."""

from __future__ import annotations

import ast
import json
import re
from collections import abc
from dataclasses import fields
from datetime import datetime
from pathlib import Path

from keysvc.master.events import EventKind
from keysvc.model import Event
from keysvc.plugin.cloudevents import cloudevent
from keysvc.plugin.isolation import PluginFailure

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/events.md").read_text("utf-8")


def test_the_table_is_the_catalogue() -> None:
    table = [
        f"| `{kind}` | {kind.severity} | {kind.meaning} | {', '.join(f'`{name}`' for name in kind.members)} |"
        for kind in EventKind
    ]
    assert [line for line in PAGE.splitlines() if line.startswith("| `")] == table


def told_of() -> abc.Iterator[tuple[EventKind, set[str]]]:
    """Each place of the code that tells of an event, with the members that it gives."""
    given = {"event": set(), "told": {"subject"}, "tell": {"subject", "why"}, "note": {"subject"}}
    for file in (ROOT / "keysvc").rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)):
            function = ast.unparse(call.func).rpartition(".")[2]
            for argument in call.args if function in given else ():
                if (name := ast.unparse(argument)).startswith("EventKind."):
                    members = {keyword.arg or "**" for keyword in call.keywords} | given[function]
                    yield EventKind[name.removeprefix("EventKind.")], members


def test_the_members_of_an_events_data_are_those_of_the_catalogue() -> None:
    places = list(told_of())
    assert len(places) > 25
    of_a_failure = {field.name for field in fields(PluginFailure)} | {"hint"}
    for kind, members in places:
        assert (members - {"**"}) | (of_a_failure if "**" in members else set()) == set(kind.members), kind


def test_the_example_is_what_is_sent_and_each_attribute_is_explained() -> None:
    shown = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert shown
    example = json.loads(shown[1])
    happened = datetime.fromisoformat(example["time"])
    event = Event(example["id"], "rotation.started", happened, example["data"], EventKind.ROTATION_STARTED.severity)
    assert cloudevent(event, example["source"].removeprefix("urn:keysvc:")) == example
    table = PAGE.partition("| attribute |")[2].partition("##")[0]
    assert re.findall(r"^\| ([a-z]+) \|", table, re.MULTILINE) == list(example)
