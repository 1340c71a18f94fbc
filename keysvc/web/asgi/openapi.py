"""OpenAPI 3.1 of a table of operations, made from the types that the operations are served with."""

from __future__ import annotations

import inspect
import re
from collections import abc
from typing import TYPE_CHECKING, Any

import msgspec

from keysvc import __version__
from keysvc.errors import AccessDenied, AuthorizerUnavailable, InvalidInput, KeysvcError, MappingStoreError
from keysvc.web.asgi.examples import EXAMPLES
from keysvc.web.asgi.phrases import phrase
from keysvc.web.asgi.problems import MEDIA_TYPE, Problem, status_of_kind, title_of
from keysvc.web.asgi.secret_texts import reveal_secret, schema_of_secret

if TYPE_CHECKING:
    from keysvc.web.asgi.routing import Operations

Json = dict[str, Any]
ANYWHERE: tuple[type[KeysvcError], ...] = (AccessDenied, InvalidInput, MappingStoreError)
"""What every operation may answer with."""
_NULL: Json = {"type": "null"}
_REFERENCE = "#/components/schemas/{name}"
_IN_PATH = re.compile(r"{(\w+)}")
_SECURITY = {
    "certificate": {"type": "mutualTLS", "description": "A client certificate of the system's own authority, TLS 1.3."}
}


def document(title: str, operations: Operations) -> Json:
    """The whole description."""
    types = {
        kind: None
        for operation in operations
        for kind in (operation.parameters, operation.content, operation.answer, Problem)
        if kind is not None
    }
    schemas, components = msgspec.json.schema_components(
        list(types), schema_hook=schema_of_secret, ref_template=_REFERENCE
    )
    for component in components.values():
        _word_alike(component)
    schema_of = dict(zip(types, schemas, strict=True))
    parameters = {operation.parameters.__name__ for operation in operations}
    paths: dict[str, Json] = {}
    for operation in operations:
        described: Json = {
            "operationId": operation_id(operation.method, operation.path),
            "summary": operation.summary,
            "parameters": list(_parameters(operation.parameters, operation.path, components)),
            "responses": _responses(operation, schema_of),
        }
        if operation.roles:
            described["security"] = [{"certificate": []}]
            described["description"] = f"Roles: {', '.join(sorted(role.value for role in operation.roles))}."
        if operation.rights:
            needed = ", ".join(f"`{right.value}`" for right in operation.rights)
            described["description"] = f"Rights: {needed}. docs/reference/roles.md says who has them."
        if msgspec.structs.fields(operation.content):
            content = _media(operation.content, schema_of, operation.example)
            described["requestBody"] = {"required": True, "content": content}
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    unused = parameters | {"NoContent"}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in unused},
            "securitySchemes": _SECURITY,
        },
    }


def _word_alike(schema: Json) -> None:
    """Word a schema in the same way on every release of Python and msgspec: docstrings without their indentation, null
    as the last alternative, and no default that is an empty object or list."""
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"])
    if "anyOf" in schema:
        schema["anyOf"].sort(key=lambda alternative: alternative == _NULL)
    if schema.get("default") in ({}, []):
        del schema["default"]
    for inner in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
        _word_alike(inner)


def operation_id(method: str, path: str) -> str:
    """`get_credential` for GET /v1/credential."""
    words = re.sub(r"\W+", "_", path.removeprefix("/v1/")).strip("_")
    return f"{method.lower()}_{words}"


def is_header(name: str) -> bool:
    """Headers are the parameters with a capital letter."""
    return name != name.lower()


def _parameters(kind: Any, path: str, components: Json) -> abc.Iterator[Json]:
    described = components.get(kind.__name__, {})
    in_path = set(_IN_PATH.findall(path))
    for name, found in described.get("properties", {}).items():
        schema = _given(found)
        where = "path" if name in in_path else "header" if is_header(name) else "query"
        parameter: Json = {"name": name, "in": where, "required": name in described.get("required", ())}
        if text := schema.get("description"):
            parameter["description"] = text
        if examples := schema.get("examples"):
            parameter["example"] = examples[0]
        parameter["schema"] = {key: value for key, value in schema.items() if key not in {"description", "examples"}}
        yield parameter


def _given(schema: Json) -> Json:
    """What is given as text is never null: who wants none leaves it out."""
    alternatives = [one for one in schema.get("anyOf", ()) if one != _NULL]
    return alternatives[0] if alternatives else schema


def _responses(operation: Any, schema_of: abc.Mapping[Any, Json]) -> Json:
    status = 204 if operation.answer is None else operation.status
    responses: Json = {str(status): {"description": phrase(status)}}
    if operation.answer is not None:
        responses[str(status)]["content"] = _media(operation.answer, schema_of)
    if operation.etag:
        responses[str(status)]["headers"] = {"ETag": {"description": operation.etag, "schema": {"type": "string"}}}
    for other, description in (operation.other_answers or {}).items():
        responses[str(other)] = {"description": description}
    admission: tuple[type[KeysvcError], ...] = (AuthorizerUnavailable,) if operation.rights else ()
    kinds: dict[int, list[type[KeysvcError]]] = {}
    for error in dict.fromkeys((*ANYWHERE, *admission, *operation.errors)):
        kinds.setdefault(status_of_kind(error), []).append(error)
    for number, errors in sorted(kinds.items()):
        codes = ", ".join(f"`{error.code}`" for error in errors)
        responses[str(number)] = {
            "description": f"{phrase(number)}: {codes}",
            "content": {MEDIA_TYPE: {"schema": schema_of[Problem], "example": _problem(errors[0], number)}},
        }
    return responses


def _problem(error: type[KeysvcError], status: int) -> Json:
    example = error("what happened, in one line")
    return {
        "type": f"urn:keysvc:error:{error.code}",
        "title": title_of(error),
        "status": status,
        "detail": str(example),
        "code": error.code,
        "hint": example.hint,
        "retryable": error.retryable,
    }


def _media(kind: Any, schema_of: abc.Mapping[Any, Json], example: Any = None) -> Json:
    media: Json = {"schema": schema_of[kind]}
    if example is None:
        example = EXAMPLES.get(kind)
    if example is not None:
        media["example"] = msgspec.json.decode(msgspec.json.encode(example, enc_hook=reveal_secret))
    return {"application/json": media}
