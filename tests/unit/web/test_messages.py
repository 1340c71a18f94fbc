"""What is decoded of a request."""

from __future__ import annotations

import dataclasses
from collections import abc

import msgspec
import pytest
from msgspec import inspect

from keysvc.model import Field, Flags
from keysvc.sso.requests.applications import CreateApplication
from keysvc.web.agent.app import operations as agent_operations
from keysvc.web.agent.routes import WIRES
from keysvc.web.agent.shapes import NewField, NewFlags
from keysvc.web.master.app import MasterOperations

OPERATIONS = [*agent_operations(None), *MasterOperations(None, None, None).all()]
CONTENTS = sorted({operation.content for operation in OPERATIONS}, key=lambda kind: kind.__name__)


def parts(kind: inspect.Type) -> abc.Iterator[inspect.Type]:
    """A type and all that it is made of."""
    yield kind
    if isinstance(kind, inspect.StructType | inspect.DataclassType):
        inner = [field.type for field in kind.fields]
    elif isinstance(kind, inspect.UnionType):
        inner = list(kind.types)
    elif isinstance(kind, inspect.Metadata):
        inner = [kind.type]
    elif isinstance(kind, inspect.DictType):
        inner = [kind.key_type, kind.value_type]
    else:
        inner = [kind.item_type] if hasattr(kind, "item_type") else []
    for part in inner:
        yield from parts(part)


@pytest.mark.parametrize("content", CONTENTS)
def test_no_part_of_a_body_may_have_unknown_members(content: type[msgspec.Struct]) -> None:
    for part in parts(inspect.type_info(content)):
        assert not isinstance(part, inspect.DataclassType | inspect.TypedDictType)
        if isinstance(part, inspect.StructType):
            assert part.forbid_unknown_fields


@pytest.mark.parametrize(
    "body",
    [
        '{"fields": [{"label": "a", "masked": false, "mask": true}]}',
        '{"fields": [{"label": "a", "masked": false}], "flags": {"enable": true}}',
    ],
)
def test_an_unknown_member_of_a_field_or_of_the_flags_is_refused(body: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(body, type=WIRES[CreateApplication].content)


def test_fields_and_flags_are_those_of_the_model() -> None:
    for ours, theirs in ((NewField, Field), (NewFlags, Flags)):
        members = [(field.name, field.default) for field in dataclasses.fields(theirs)]
        nothing = dataclasses.MISSING, msgspec.NODEFAULT
        assert [(name, value in nothing) for name, value in members] == [
            (field.name, field.default in nothing) for field in msgspec.structs.fields(ours)
        ]
    assert msgspec.structs.asdict(NewFlags()) == dataclasses.asdict(Flags())
