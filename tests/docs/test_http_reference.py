"""docs/reference describes just what is served. `python tests/docs/test_http_reference.py` writes it again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keysvc.web.agent import app as agent_app
from keysvc.web.asgi import openapi
from keysvc.web.asgi.examples import EXAMPLES
from keysvc.web.asgi.routing import Operations
from keysvc.web.asgi.secret_texts import hide_secret, reveal_secret
from keysvc.web.master import app as master_app

REFERENCE = Path(__file__).parents[2] / "docs/reference"
AGENT: Operations = agent_app.operations(None)  # type: ignore[arg-type]  nothing is asked of it
MASTER: Operations = master_app.MasterOperations(None, None, None).all()  # type: ignore[arg-type]


def as_sent(title: str, operations: Operations) -> Any:
    return msgspec.json.decode(msgspec.json.encode(openapi.document(title, operations)))


DOCUMENTS = {
    "openapi-agent.json": as_sent(agent_app.TITLE, AGENT),
    "openapi-master.json": as_sent(master_app.TITLE, MASTER),
}
BEGINNING = (REFERENCE / "http.md").read_text("utf-8").partition("## ")[0]
each_document = pytest.mark.parametrize("name", DOCUMENTS)


def page() -> str:
    return BEGINNING + "\n".join((*table("The master secret server", MASTER), "", *table("An agent", AGENT), ""))


def table(title: str, operations: Operations) -> list[str]:
    head = [f"## {title}", "", "| request | who | what | answers |", "| --- | --- | --- | --- |"]
    rows = []
    for operation in operations:
        certificates = ", ".join(sorted(role.value for role in operation.roles)) or "anyone"
        who = ", ".join(f"[`{right.value}`](roles.md)" for right in operation.rights) or certificates
        described = openapi.document("", [operation])["paths"][operation.path][operation.method.lower()]
        answers = ", ".join(sorted(described["responses"]))
        rows.append(
            f"| `{operation.method} {operation.path}{query(operation)}` | {who} | {operation.summary} | {answers} |"
        )
    return [*head, *rows]


def query(operation: Any) -> str:
    names = [field.encode_name for field in msgspec.structs.fields(operation.parameters)]
    asked = [name for name in names if not openapi.is_header(name) and f"{{{name}}}" not in operation.path]
    return f"?{'&'.join(f'{name}=…' for name in asked)}" if asked else ""


@each_document
def test_the_description_in_the_reference_is_the_one_that_is_served(name: str) -> None:
    assert json.loads((REFERENCE / name).read_text("utf-8")) == DOCUMENTS[name]


@each_document
def test_no_description_shows_the_indentation_of_its_source(name: str) -> None:
    schemas = DOCUMENTS[name]["components"]["schemas"].values()
    described = [schema["description"] for schema in schemas if "\n" in schema.get("description", "")]
    assert described
    assert [text for text in described if re.search(r"\n +", text)] == []


def test_the_page_names_every_operation_with_who_may_call_it_and_what_it_answers() -> None:
    assert (REFERENCE / "http.md").read_text("utf-8") == page()


@pytest.mark.parametrize("operation", [*AGENT, *MASTER], ids=lambda operation: f"{operation.method} {operation.path}")
def test_every_content_and_answer_has_an_example_that_fits(operation: Any) -> None:
    for kind in (operation.content, operation.answer):
        if kind is not None and msgspec.inspect.type_info(kind).fields:  # type: ignore[union-attr]
            example = operation.example if kind is operation.content and operation.example else EXAMPLES[kind]
            sent = msgspec.json.encode(example, enc_hook=reveal_secret)
            assert msgspec.json.decode(sent, type=kind, dec_hook=hide_secret) == example


@each_document
def test_every_operation_has_an_id_of_its_own_and_every_reference_leads_somewhere(name: str) -> None:
    document = DOCUMENTS[name]
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(ids)) == len(ids)
    for reference in re.findall(r"#/components/schemas/(\w+)", json.dumps(document)):
        assert reference in document["components"]["schemas"]


if __name__ == "__main__":
    for name, document in DOCUMENTS.items():
        (REFERENCE / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (REFERENCE / "http.md").write_text(page(), "utf-8")
