"""The OpenAPI document: made of the routes, the models and the protobuf messages, so that it cannot say otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from inference.agent import IMPACTS
from inference.agents import AGENTS
from schemas import FACTS, TIERS, DecisionRequested
from schemas.gen.norn.v1.bridge_pb2 import DispatchRequest, OfferedEvent
from schemas.limits import SUBJECT_BYTES_MAX, TRACE_BYTES_MAX, number_max, text_bytes_max
from schemas.requests import CONTEXT_BYTES_MAX, DECISION_ID_PATTERN
from streams.bridge.models import Problem
from streams.bridge.problems import CONTENT_TYPE
from streams.bridge.wire import (
    BATCH_EVENTS_MAX,
    CLIENT_PATTERN,
    JSON,
    OFFERED,
    PROTOBUF,
    SEQUENCE_MAX,
    TIME_MS_MAX,
)

_TEMPLATE = "#/components/schemas/{model}"
# Four bytes a character at most, and most have one.
_SUBJECT_CHARACTERS_MAX = SUBJECT_BYTES_MAX // 4
_TEXT = {"type": "string", "pattern": r"^[^\x00]*$"}

_WHOLE_BITS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
}

#: What a descriptor cannot say of the fields of an offered event.
_OFFERED: Mapping[str, Mapping[str, Any]] = {
    "sequence": {"minimum": 1, "maximum": SEQUENCE_MAX},
    "player_id": {"minLength": 1, "maxLength": _SUBJECT_CHARACTERS_MAX},
    "time_ms": {"maximum": TIME_MS_MAX},
    "cause": {"type": "string", "contentEncoding": "base64", "pattern": "^([A-Za-z0-9+/]{22}==)?$"},
    "trace": {"maxLength": TRACE_BYTES_MAX, "pattern": "^[\\x20-\\x7e]*$"},
}

_BY_AGENT = "Left out: as the agent declares it."
#: And of the fields of a request for a decision, all of which but the agent may be left out.
_REQUESTED: Mapping[str, Mapping[str, Any]] = {
    "decision_id": {"pattern": DECISION_ID_PATTERN, "description": "Left out: one that follows from the event."},
    "agent": {"enum": list(AGENTS)},
    "tier": {"enum": list(TIERS), "description": _BY_AGENT},
    "context": {
        "maxLength": CONTEXT_BYTES_MAX,
        "contentMediaType": JSON,
        "description": "All that the agent may know, a JSON object as text.",
    },
    "legal_actions": {"description": f"Some of the agent's own, its default among them. {_BY_AGENT}"},
    "deadline_ms": {"maximum": TIME_MS_MAX, "description": f"Milliseconds since 1970. {_BY_AGENT}"},
    "cost_cap_usd_micros": {"description": _BY_AGENT},
    "impact": {"enum": list(IMPACTS), "description": _BY_AGENT},
    "world_version": {"description": "Left out: the world's as the bridge knows it."},
}


@dataclass(frozen=True)
class Operation:
    """One route, as its handler and this document both see it."""

    method: str
    path: str
    name: str
    summary: str
    #: The model of 200's body, or its content type when it is no JSON.
    answer: type[BaseModel] | str
    #: Which problems it may answer with, by status.
    problems: Mapping[int, str] = field(default_factory=dict)
    body: type[BaseModel] | type[DispatchRequest] | None = None
    query: type[BaseModel] | None = None


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """The document of these operations."""
    operations = tuple(operations)
    models: list[type[BaseModel]] = [
        model
        for operation in operations
        for model in (operation.answer, operation.body)
        if isinstance(model, type) and issubclass(model, BaseModel)
    ]
    asked: list[tuple[Any, JsonSchemaMode]] = [(model, "validation") for model in dict.fromkeys([*models, Problem])]
    _, definitions = models_json_schema(asked, ref_template=_TEMPLATE)
    schemas = dict(definitions["$defs"])
    if any(operation.body is DispatchRequest for operation in operations):
        schemas |= _messages()
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Norn's bridge",
            "version": version,
            "description": "Facts from game servers that speak HTTP, and decisions to them.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {"200": _answer(operation.answer), **_problems(operation.problems)},
    }
    if operation.query is not None:
        described["parameters"] = _parameters(operation.query)
    if operation.body is DispatchRequest:
        schema = {"$ref": _TEMPLATE.format(model=DispatchRequest.DESCRIPTOR.name)}
        binary = {"description": f"{DispatchRequest.DESCRIPTOR.full_name}, serialized", "type": "string"}
        described["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": schema}, PROTOBUF: {"schema": binary}},
        }
    elif operation.body is not None:
        schema = {"$ref": _TEMPLATE.format(model=operation.body.__name__)}
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    return described


def _answer(answer: type[BaseModel] | str) -> dict[str, Any]:
    if isinstance(answer, str):
        content = {answer: {"schema": {"type": "object" if answer == JSON else "string"}}}
    else:
        content = {JSON: {"schema": {"$ref": _TEMPLATE.format(model=answer.__name__)}}}
    return {"description": HTTPStatus.OK.phrase, "content": content}


def _problems(problems: Mapping[int, str]) -> dict[str, Any]:
    schema = {"schema": {"$ref": _TEMPLATE.format(model=Problem.__name__)}}
    found = {
        str(status): {"description": description, "content": {CONTENT_TYPE: schema}}
        for status, description in problems.items()
    }
    for status in found.keys() & {"429", "503"}:
        found[status]["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        }
    return found


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    described = query.model_json_schema()
    parameters = []
    for name, schema in described["properties"].items():
        # A parameter that is absent is what null stands for in the model.
        given = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
        default = {} if schema.get("default") is None else {"default": schema["default"]}
        kept = {key: value for key, value in given.items() if key not in ("title", "description", "default")}
        parameter = {
            "name": name,
            "in": "query",
            "required": name in described.get("required", ()),
            "description": schema.get("description", ""),
            "schema": {**kept, **default},
        }
        if kept.get("type") == "array":
            parameter |= {"style": "form", "explode": True}
        parameters.append(parameter)
    return parameters


def _messages() -> dict[str, Any]:
    found = {DispatchRequest.DESCRIPTOR.name: _request(), OfferedEvent.DESCRIPTOR.name: _offered()}
    for name in OFFERED:
        fact = FACTS[name].DESCRIPTOR
        found[fact.name] = {
            "type": "object",
            "properties": {one.name: {**_field(one), **_limit(name, one)} for one in fact.fields},
            "additionalProperties": False,
        }
    requested = found[DecisionRequested.DESCRIPTOR.name]
    requested["properties"] = {name: {**said, **_REQUESTED[name]} for name, said in requested["properties"].items()}
    requested["required"] = ["agent"]
    return found


def _request() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "client": {
                "type": "string",
                "pattern": CLIENT_PATTERN,
                "description": "One life of your game server's process.",
            },
            "events": {
                "type": "array",
                "items": {"$ref": _TEMPLATE.format(model=OfferedEvent.DESCRIPTOR.name)},
                "minItems": 1,
                "maxItems": BATCH_EVENTS_MAX,
            },
        },
        "required": ["client", "events"],
        "additionalProperties": False,
    }


def _offered() -> dict[str, Any]:
    properties = {
        one.name: {"$ref": _TEMPLATE.format(model=FACTS[one.name].DESCRIPTOR.name)}
        if one.name in OFFERED
        else {**_field(one), **_OFFERED[one.name]}
        for one in OfferedEvent.DESCRIPTOR.fields
    }
    return {
        "type": "object",
        "description": "Who, the client's own number, and exactly one fact.",
        "properties": properties,
        "required": ["sequence", "player_id"],
        "oneOf": [{"required": [fact]} for fact in OFFERED],
        "additionalProperties": False,
    }


def _limit(fact: str, one: Any) -> dict[str, Any]:
    """What a fact's field may hold beyond its type; a text's bytes are no fewer than its characters."""
    if one.type == FieldDescriptor.TYPE_STRING:
        longest = {"maxLength": text_bytes_max(f"{fact}.{one.name}")}
        return {"items": {**_TEXT, **longest}} if one.is_repeated else longest
    if one.type in (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_INT64):
        low, _ = _WHOLE_BITS[one.type]
        most = number_max(f"{fact}.{one.name}")
        return {"minimum": max(low, -most), "maximum": most}
    return {}


def _field(one: Any) -> dict[str, Any]:
    """A plain field as protobuf's JSON has it; 64-bit numbers may also be texts, as they are when it writes them."""
    if one.is_repeated:
        return {"type": "array", "items": dict(_TEXT)}
    if one.type in _WHOLE_BITS:
        low, high = _WHOLE_BITS[one.type]
        return {"type": "integer", "minimum": low, "maximum": high}
    if one.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return {"type": "number"}
    if one.type == FieldDescriptor.TYPE_BOOL:
        return {"type": "boolean"}
    return dict(_TEXT)
