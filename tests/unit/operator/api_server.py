"""What the API server refuses of a status, by the schemas that it has of us."""

import re
from collections.abc import Mapping
from typing import Any

from fleet import errors
from fleet.contracts.schemas import crds

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_INT64 = 2**63
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "array": (list, tuple),
    "object": Mapping,
}
_SCHEMAS = {
    crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for crd in crds.definitions()
}


def check_status(kind: str, status: Mapping[str, Any]) -> None:
    """
    Check the status of a resource.

    :raises errors.ClusterRefused: the API server would not take it.
    """
    _check(f"{kind}.status", _SCHEMAS[kind]["properties"]["status"], status)


def _check(place: str, schema: Mapping[str, Any], value: Any) -> None:
    if not isinstance(value, _TYPES[schema["type"]]):
        raise errors.ClusterRefused(f"422 {place}: {value!r} is no {schema['type']}")
    match value:
        case str():
            _check_text(place, schema, value)
        case int() if not -_INT64 <= value < _INT64:
            raise errors.ClusterRefused(f"422 {place}: {value} is no int64")
        case Mapping():
            for key, inner in value.items():
                _check(f"{place}.{key}", _field(place, schema, key), inner)
        case list() | tuple():
            if len(value) > schema.get("maxItems", len(value)):
                raise errors.ClusterRefused(f"422 {place}: too many items")
            for item in value:
                _check(f"{place}[]", schema["items"], item)
        case _:
            pass


def _field(place: str, schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
    if found is None:
        raise errors.ClusterRefused(f"422 {place}: there is no field {key!r}")
    return dict(found)


def _check_text(place: str, schema: Mapping[str, Any], value: str) -> None:
    if schema.get("format") == "date-time" and not _DATE_TIME.fullmatch(value):
        raise errors.ClusterRefused(f"422 {place}: {value!r} is no time")
    if not value.isprintable():
        raise errors.ClusterRefused(f"{place}: {value!r} can't be shown to a person")
