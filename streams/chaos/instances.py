"""The smallest JSON value that obeys a JSON schema: what a model without a thought of its own would answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from re import _parser  # type: ignore[attr-defined]
from typing import Any

# JSON schema's patterns are ECMA's, which know classes of letters that Python's do not; one letter stands for each.
_CLASSES = {r"\p{Lu}": "A-Z", r"\p{Ll}": "a-z", r"\p{L}": "A-Za-z", r"\p{N}": "0-9", r"\p{Nd}": "0-9"}
_UNKNOWN_CLASS = re.compile(r"\\p\{\w+\}")
# Deeper than any schema that is meant: one that refers to itself would otherwise never end.
_DEPTH_MAX = 32


def smallest(schema: Mapping[str, Any]) -> Any:
    """An instance with every required property, the first of each enum, and the shortest texts and lists.

    Gives None where the schema asks for what this cannot make.
    """
    return _instance(schema, schema, _DEPTH_MAX)


def _instance(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth == 0:
        return None
    if "$ref" in schema:
        return _instance(_referred(str(schema["$ref"]), root), root, depth - 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            return _instance(schema[choice][0], root, depth - 1)
    if schema.get("allOf"):
        merged = {name: value for part in schema["allOf"] for name, value in part.items()}
        return _instance({**{key: value for key, value in schema.items() if key != "allOf"}, **merged}, root, depth - 1)
    kind = schema.get("type", "object" if "properties" in schema else None)
    return _of_type(kind[0] if isinstance(kind, list) else kind, schema, root, depth)


def _of_type(kind: Any, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    match kind:
        case "object":
            properties = schema.get("properties", {})
            wanted = [name for name in properties if name in schema.get("required", ())]
            return {name: _instance(properties[name], root, depth - 1) for name in wanted}
        case "array":
            first = schema.get("prefixItems", [])
            items = [*first, *[schema.get("items", {"type": "null"})] * schema.get("minItems", 0)]
            return [_instance(item, root, depth - 1) for item in items[: max(len(first), schema.get("minItems", 0))]]
        case "string":
            text = _matching(schema["pattern"]) if "pattern" in schema else ""
            return text.ljust(schema.get("minLength", 0), "a")
        case "integer" | "number":
            return _number(schema, kind)
        case "boolean":
            return False
        case _:
            return None


def _number(schema: Mapping[str, Any], kind: str) -> float | int:
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    value = least + ("exclusiveMinimum" in schema)
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if most is not None and value > most:
        value = most
    return int(value) if kind == "integer" else float(value)


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for name in reference.removeprefix("#/").split("/"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _matching(pattern: str) -> str:
    """The shortest text that a pattern matches, taking the first of what may stand there; "" if it is too strange."""
    for known, plain in _CLASSES.items():
        pattern = _in_brackets(pattern, known, plain)
    try:
        return _shortest(_parser.parse(_UNKNOWN_CLASS.sub("a", pattern)))
    except re.error:
        return ""


def _in_brackets(pattern: str, known: str, plain: str) -> str:
    """The pattern with a class replaced; outside brackets it needs some of its own."""
    parts = pattern.split(known)
    out = parts[0]
    for part in parts[1:]:
        inside = out.count("[") - out.count(r"\[") > out.count("]") - out.count(r"\]")
        out += (plain if inside else f"[{plain}]") + part
    return out


def _shortest(tokens: Sequence[Any]) -> str:
    return "".join(_token(str(operation), argument) for operation, argument in tokens)


def _token(operation: str, argument: Any) -> str:
    match operation:
        case "LITERAL":
            return chr(argument)
        case "IN":
            return _member(argument)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return _shortest(argument[2]) * int(argument[0])
        case "SUBPATTERN":
            return _shortest(argument[3])
        case "BRANCH":
            branches: list[str] = [_shortest(branch) for branch in argument[1]]
            return min(branches, key=len)
        case "ANY" | "NOT_LITERAL":
            return "a"
        case _:
            return ""


def _member(choices: Sequence[Any]) -> str:
    operation, argument = choices[0]
    match str(operation):
        case "LITERAL":
            return chr(argument)
        case "RANGE":
            return chr(argument[0])
        case "CATEGORY":
            return {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " "}.get(str(argument), "a")
        case _:
            return "a"
