"""
From message types to the structural schemas of custom resources.

The types' own constraints become the schema's, so that the API server and the
agent refuse the same values. Defaults are left out on purpose: one added to a
schema later would change every revision, and restart a fleet.

What `kubectl explain` shows stands in a type's docstring: its first paragraph
describes the type, and a list of ``* field: sentences`` describes the fields.
A field that is described nowhere is refused.
"""

import inspect as source
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from fleet.contracts import patterns

Schema = dict[str, Any]


def schema(type_: Any) -> Schema:
    """
    Describe *type_* as a structural schema.

    :raises TypeError: it holds something that has no place in a custom resource, or a field
        without a description, or describes a field that it doesn't have.
    """
    return _schema(inspect.type_info(type_))


def _schema(info: inspect.Type) -> Schema:
    match info:
        case inspect.Metadata():
            return _schema(info.type) | (info.extra_json_schema or {})
        case inspect.UnionType():
            return _optional(info)
        case inspect.StructType():
            return _struct(info)
        case inspect.DictType():
            return _map(info)
        case inspect.VarTupleType() | inspect.ListType():
            return _list(info)
        case _:
            return _scalar(info)


def _scalar(info: inspect.Type) -> Schema:
    match info:
        case inspect.StrType():
            limits = {"minLength": info.min_length, "maxLength": info.max_length}
            return _given(
                {
                    "type": "string",
                    **limits,
                    "pattern": info.pattern and patterns.portable(info.pattern),
                }
            )
        case inspect.EnumType():
            return {"type": "string", "enum": [str(member.value) for member in info.cls]}
        case inspect.IntType():
            return _integer(info)
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.DateTimeType():
            return {"type": "string", "format": "date-time"}
        case _:
            raise TypeError(f"{info} has no place in a custom resource")


def _integer(info: inspect.IntType) -> Schema:
    return _given({"type": "integer", "format": "int64", "minimum": info.ge, "maximum": info.le})


def _struct(info: inspect.StructType) -> Schema:
    paragraph, told = described(info.cls)
    _check_described(info, told)
    properties = {
        field.encode_name: _schema(field.type) | {"description": told[field.name]}
        for field in info.fields
    }
    required = sorted(field.encode_name for field in info.fields if field.required)
    whole = {"type": "object", "description": paragraph, "properties": properties}
    return whole | ({"required": required} if required else {})


def _check_described(info: inspect.StructType, told: Mapping[str, str]) -> None:
    fields = {field.name for field in info.fields}
    for name in sorted(fields ^ told.keys()):
        what = (
            "has no description of its field"
            if name in fields
            else "describes a field that it lacks"
        )
        raise TypeError(f"{info.cls.__name__} {what}: {name}")


def _map(info: inspect.DictType) -> Schema:
    limits = {"minProperties": info.min_length, "maxProperties": info.max_length}
    return _given({"type": "object", "additionalProperties": _schema(info.value_type), **limits})


def _list(info: inspect.VarTupleType | inspect.ListType) -> Schema:
    limits = {"minItems": info.min_length, "maxItems": info.max_length}
    return _given({"type": "array", "items": _schema(info.item_type), **limits})


def _optional(info: inspect.UnionType) -> Schema:
    present = [each for each in info.types if not isinstance(each, inspect.NoneType)]
    if len(present) != 1:
        raise TypeError(f"{info} is no single type")
    return _schema(present[0])


def described(cls: type[msgspec.Struct]) -> tuple[str, dict[str, str]]:
    """Read what *cls* says of itself, and of each of its fields, by the field's name in Python."""
    paragraph, _, rest = source.cleandoc(cls.__doc__ or "").partition("\n\n")
    items = f"\n{rest}".split("\n* ")[1:]
    parts = (item.split("\n\n")[0].partition(": ") for item in items)
    return _line(paragraph), {name: _line(text) for name, _, text in parts}


def _line(text: str) -> str:
    return " ".join(text.replace("*", "").replace("`", "").split())


def _given(described: Schema) -> Schema:
    return {key: value for key, value in described.items() if value is not None}
