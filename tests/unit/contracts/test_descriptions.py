"""What `kubectl explain` says: a sentence for each field, true to types, limits and defaults."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec import inspect

from fleet.contracts import scores
from fleet.contracts.schemas import crds, openapi

Schema = dict[str, Any]


class Field(NamedTuple):
    """One field of a custom resource, by its path as `kubectl explain` takes it."""

    path: str
    schema: Schema


def fields(path: str, schema: Schema) -> Iterator[Field]:
    """Walk all fields, whatever lists and maps they stand in."""
    for name, child in schema.get("properties", {}).items():
        yield Field(f"{path}.{name}", child)
        yield from fields(f"{path}.{name}", child)
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if inner:
            yield from fields(path, inner)


FIELDS = [
    field
    for crd in crds.definitions()
    for field in fields(
        crd["spec"]["names"]["singular"], crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    )
    if not field.path.endswith(".metadata")  # which the API server describes itself
]
LIMITS = ("minimum", "maximum", "minItems", "maxItems", "maxProperties")


def each_field(*, having: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    chosen = [f for f in FIELDS if not having or any(key in f.schema for key in having)]
    assert chosen
    return pytest.mark.parametrize("field", chosen, ids=lambda field: str(field.path))


@each_field()
def test_a_field_has_a_sentence(field: Field):
    assert re.match(r"[A-Z].*\.$", field.schema.get("description", "")), field.path


@each_field(having=LIMITS)
def test_a_sentence_names_the_limits(field: Field):
    for limit in LIMITS:
        if limit in field.schema:
            assert says(field.schema["description"], str(field.schema[limit])), limit


@each_field(having=("enum",))
def test_a_sentence_names_all_values(field: Field):
    for value in field.schema["enum"]:
        assert says(field.schema["description"], value)


def structs(type_: type[msgspec.Struct]) -> Iterator[inspect.StructType]:
    """List a type and all that it is made of."""
    waiting: list[Any] = [inspect.type_info(type_)]
    while waiting:
        match waiting.pop():
            case inspect.StructType() as info:
                yield info
                waiting.extend(field.type for field in info.fields)
            case inspect.Metadata(type=inner):
                waiting.append(inner)
            case inspect.VarTupleType(item_type=inner):
                waiting.append(inner)
            case inspect.UnionType(types=inner):
                waiting.extend(inner)
            case _:
                pass


OPTIONAL = [
    pytest.param(info.cls, field, id=f"{info.cls.__name__}.{field.encode_name}")
    for info in structs(scores.PodmanV0)
    for field in info.fields
    if not field.required
]


@pytest.mark.parametrize(("cls", "field"), OPTIONAL)
def test_a_sentence_names_the_default_that_the_agent_applies(cls, field):
    _, told = openapi.described(cls)
    sentence = told[field.name]
    if isinstance(field.default, bool | int | StrEnum):
        value = msgspec.json.encode(field.default).decode().strip('"')
        assert f"Default: {value}" in sentence
    else:
        assert "Default: " in sentence or "Set either" in sentence


def test_a_field_without_a_description_is_refused():
    class Bare(msgspec.Struct):
        """
        One thing.

        * told: Something.
        """

        told: str
        untold: str

    with pytest.raises(TypeError, match="Bare has no description of its field: untold"):
        openapi.schema(Bare)


def test_a_description_of_no_field_is_refused():
    class Talkative(msgspec.Struct):
        """
        One thing.

        * told: Something.
        * gone: What was there once.
        """

        told: str

    with pytest.raises(TypeError, match="Talkative describes a field that it lacks: gone"):
        openapi.schema(Talkative)


def says(sentence: str, word: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", sentence) is not None
