"""The definitions of the custom resources, as they stand in deploy/crds."""

from pathlib import Path

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator

from fleet import errors
from fleet.contracts import scores
from fleet.contracts.schemas import crds, openapi

CRDS = Path(__file__).parents[4] / "deploy" / "crds"
FILES = crds.manifests()


def schema_of(plural: str):
    (crd,) = [each for each in crds.definitions() if each["spec"]["names"]["plural"] == plural]
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


DEPLOYMENT = schema_of("deployments")


def test_the_files_are_those_that_the_types_describe():
    assert {path.name for path in CRDS.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_invoke_crds_would_write(name):
    assert (CRDS / name).read_text() == FILES[name], "run `./dev invoke crds`"


@pytest.mark.parametrize("name", FILES)
def test_a_file_reads_back_as_the_definition(name):
    assert yaml.safe_load(FILES[name]) in crds.definitions()


def test_status_is_a_subresource_of_both():
    for crd in crds.definitions():
        assert crd["spec"]["versions"][0]["subresources"] == {"status": {}}


def test_no_default_stands_anywhere():
    """One added later would change every revision, and restart a fleet."""
    assert "default" not in {key for node in _nodes(DEPLOYMENT) for key in node}


def test_every_list_map_and_string_of_the_spec_is_limited():
    """Else the API server's cost check refuses the rules."""
    for node in _nodes(DEPLOYMENT["properties"]["spec"]):
        match node.get("type"):
            case "array":
                assert "maxItems" in node, node
            case "string":
                assert "maxLength" in node or "enum" in node, node
            case "object" if "additionalProperties" in node:
                assert "maxProperties" in node, node


def test_the_score_types_are_those_that_decode():
    score = DEPLOYMENT["properties"]["spec"]["properties"]["score"]
    assert set(score["properties"]["type"]["enum"]) == set(scores.SCORE_TYPES)


@pytest.mark.parametrize(
    "service",
    [
        {"name": "a", "image": "x"},
        {"name": "a", "image": "x", "ports": [{"host": 80, "container": 80}]},
        {"name": "a", "image": "x", "env": {"A": "b"}, "command": ["a"], "args": []},
        {"name": "A", "image": "x"},
        {"name": "a", "image": ""},
        {"name": "a"},
        {"name": "a", "image": "x", "ports": [{"host": 65536, "container": 80}]},
        {"name": "a", "image": "x", "restartPolicy": "Perhaps"},
        {"name": "a", "image": "x", "args": ["x" * 4097]},
        {"name": "a", "image": "x", "args": [""] * 65},
        {"name": "a", "image": "x", "volumes": [{"name": "d", "mountPath": "/d"}]},
        {"name": "a", "image": "x", "volumes": [{"name": "d"}]},
        {"name": "a", "image": "x", "volumes": [{"name": "D", "mountPath": "/d"}]},
        {"name": "a", "image": "x", "resources": {"pids": 0}},
        {"name": "a", "image": "x", "healthcheck": {"command": ["a"], "interval": 0}},
        {"name": "a", "image": "x", "healthcheck": {"command": ["a"], "startPeriod": 0}},
        {"name": "a", "image": "x", "readOnlyRootfs": "yes"},
        {"name": "a", "image": "x", "stopTimeout": 3601},
        {"name": "a", "image": "x", "labels": {"a": "x" * 1025}},
    ],
    ids=lambda service: str(service)[:60],
)
def test_the_api_server_and_the_agent_refuse_the_same(service):
    data = {"services": [service]}
    schema = openapi.schema(scores.PodmanV0)
    assert Draft202012Validator(schema).is_valid(data) == _decodes(data)


def test_what_has_no_place_in_a_custom_resource_is_refused():
    class Odd(msgspec.Struct):
        """
        Of no use.

        * ratio: A part of the whole.
        """

        ratio: float

    with pytest.raises(TypeError, match="no place"):
        openapi.schema(Odd)


def _decodes(data) -> bool:
    try:
        scores.decode("PodmanV0", data)
    except errors.PermanentError:
        return False
    return True


def _nodes(schema):
    yield schema
    for child in schema.get("properties", {}).values():
        yield from _nodes(child)
    for child in (schema.get("items"), schema.get("additionalProperties")):
        if child:
            yield from _nodes(child)
