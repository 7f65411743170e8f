"""
Scores: what they mean, and the name of their content.

The vectors are locked: a revision that changes for the same content restarts
every container of a fleet.
"""

import copy
import hashlib
import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.contracts import scores
from fleet.contracts.scores import NetworkMode, Port, Protocol, PullPolicy, RestartPolicy
from tests.unit.contracts.strategies import json_values, score_data

HELLO = {
    "services": [
        {
            "name": "web",
            "image": "registry.local/hello@sha256:00",
            "ports": [{"host": 8080, "container": 80}],
            "env": {"GREETING": "grüß dich"},
        }
    ]
}
NO_IMAGES = (
    *("docker://x", "docker://r.io/x:1", "http://r.io/x", "oci:/x", "dir:/x", "r.io:5000//x:v1"),
    *("a/../b", "a/./b", "a//b", "/a", "a/", "a/.", "-a", "a-", "a_/b", "a:", "a@", "a@sha256:"),
    *("Not:An:Image", "a/B", "A", "a b", "a?b", "a%2Fb", "a#b", "a:b:c", "a@b", "r.io:x/a", "é"),
    *(f"a:{'t' * 129}", "a.", ".a", "a..b", "a___b", "[::1/a", "a\\b"),
)
IMAGES = (
    *("x", "x:1", "x/y", "r.io/x", "r.io:5000/x/y-z/a__b.c:v1.0_A", "localhost/x", "Foo/bar:1"),
    *("[::1]:5000/x:1", "10.0.0.1:5000/x", "x@sha256:00", f"r.io/x:1@sha256:{'0a' * 32}"),
    *("9ed3a0523bc1", f"sha256:{'0a' * 32}", f"a:{'t' * 128}", "a--b/c", "x_y/z", "R.IO/x"),
)
TWO = {"services": [{"name": "b", "image": "b:1"}, {"name": "a", "image": "a:1"}]}
VECTORS = {
    "hello": (
        HELLO,
        (
            '{"data":{"services":[{"env":{"GREETING":"grüß dich"},'
            '"image":"registry.local/hello@sha256:00","name":"web",'
            '"ports":[{"container":80,"host":8080}]}]},"type":"PodmanV0"}'
        ),
        "8e863bd9bf414774189de5a04519313d8e3197d536adad446b736a7433e985ee",
    ),
    "two": (
        TWO,
        (
            '{"data":{"services":[{"image":"a:1","name":"a"},{"image":"b:1","name":"b"}]},'
            '"type":"PodmanV0"}'
        ),
        "f3d129add8f1cf3587946cc8a1aa6928e8322186fab4aa3a1ad91975af659ccd",
    ),
}


@pytest.mark.parametrize(("data", "text", "revision"), VECTORS.values(), ids=VECTORS)
def test_a_revision_is_locked(data, text, revision):
    assert hashlib.sha256(text.encode()).hexdigest() == revision
    assert scores.revision("PodmanV0", data) == revision


@given(score_data, st.randoms(use_true_random=False))
def test_order_of_keys_and_services_does_not_change_a_revision(data, chance):
    shuffled = _shuffled(data, chance)
    chance.shuffle(shuffled["services"])
    assert scores.revision("PodmanV0", shuffled) == scores.revision("PodmanV0", data)


@given(score_data, score_data)
def test_other_content_has_another_revision(one, other):
    same = _plain(one) == _plain(other)
    assert (scores.revision("P", one) == scores.revision("P", other)) == same


def test_another_type_has_another_revision():
    assert scores.revision("A", TWO) != scores.revision("B", TWO)


@given(score_data)
def test_a_null_is_as_good_as_nothing(data):
    padded = copy.deepcopy(data)
    padded["services"][0]["absent"] = None
    assert scores.revision("P", padded) == scores.revision("P", data)


@given(json_values)
def test_canonical_json_is_its_own_canonical_form(value):
    once = scores.canonical(value)
    assert scores.canonical(json.loads(once)) == once


@pytest.mark.parametrize("value", [1.5, {"a": [0.0]}, float("nan"), b"x", {1, 2}])
def test_what_has_no_one_spelling_has_no_canonical_form(value):
    with pytest.raises(errors.InvalidDesiredState):
        scores.canonical(value)


def test_changing_one_service_leaves_the_digest_of_the_other():
    before = scores.service_digests(TWO)
    changed = {"services": [TWO["services"][0], {"name": "a", "image": "a:2"}]}
    after = scores.service_digests(changed)
    assert before["b"] == after["b"]
    assert before["a"] != after["a"]


def test_decoding_fills_in_defaults():
    (service,) = scores.decode("PodmanV0", HELLO).services
    assert service.pull_policy is PullPolicy.IF_NOT_PRESENT
    assert service.network_mode is NetworkMode.BRIDGE
    assert service.restart_policy is RestartPolicy.ALWAYS
    assert service.ports == (Port(host=8080, container=80, protocol=Protocol.TCP, host_ip=""),)


def test_an_unknown_type_is_unsupported_and_the_known_ones_are_named():
    with pytest.raises(errors.UnsupportedScore, match="PodmanV0") as refusal:
        scores.decode("WasmV9", {})
    assert refusal.value.element == "WasmV9"


@pytest.mark.parametrize(
    "data",
    [
        {"services": [{"name": "a", "image": "x", "gpu": 1}]},
        {"services": [{"name": "a", "image": "x", "ports": [{"host": 1, "container": 2, "n": 3}]}]},
        {**TWO, "volumes": []},
    ],
    ids=["service", "port", "top"],
)
def test_an_unknown_field_anywhere_is_unsupported_and_named(data):
    with pytest.raises(errors.UnsupportedScore, match="unknown field"):
        scores.decode("PodmanV0", data)


@pytest.mark.parametrize("image", IMAGES)
def test_what_podman_takes_for_a_reference_is_one(image: str):
    scores.decode("PodmanV0", {"services": [{"name": "a", "image": image}]})


def test_a_reference_that_is_none_is_told_with_what_one_looks_like():
    with pytest.raises(errors.InvalidDesiredState, match=r"'docker://x' is not .*registry.example"):
        scores.decode("PodmanV0", {"services": [{"name": "a", "image": "docker://x"}]})


@pytest.mark.parametrize("image", ["a" * 512 + "!", "a.-" * 170, "a/" * 256, "0:" * 256])
def test_a_long_text_that_is_no_reference_is_told_at_once(image: str):
    begun = time.process_time()
    with pytest.raises(errors.InvalidDesiredState):
        scores.decode("PodmanV0", {"services": [{"name": "a", "image": image}]})
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    "service",
    [
        {"name": "a"},
        {"name": "A", "image": "x"},
        {"name": "a.b", "image": "x"},
        {"name": "a", "image": ""},
        {"name": "a", "image": "x y"},
        {"name": "a\n", "image": "x"},
        {"name": "a", "image": "x\n"},
        *({"name": "a", "image": image} for image in NO_IMAGES),
        {"name": "a", "image": "x", "env": {"A\n": ""}},
        {"name": "a", "image": "x", "ports": [{"host": 1, "container": 1, "hostIp": "::\n"}]},
        {"name": "a", "image": "x", "pullPolicy": "Sometimes"},
        {"name": "a", "image": "x", "ports": [{"host": 0, "container": 80}]},
        {"name": "a", "image": "x", "ports": [{"host": 80, "container": 65536}]},
        {"name": "a", "image": "x", "env": {"1A": ""}},
        {"name": "a", "image": "x", "env": {"A": 1}},
    ],
    ids=str,
)
def test_a_bad_value_is_invalid(service):
    with pytest.raises(errors.InvalidDesiredState):
        scores.decode("PodmanV0", {"services": [service]})


VOLUME = {"name": "data", "mountPath": "/data"}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"volumes": [{"mountPath": "/d"}]}, "needs either name or hostPath"),
        ({"volumes": [{**VOLUME, "hostPath": "/d"}]}, "needs either name or hostPath"),
        ({"volumes": [{**VOLUME, "mountPath": "data"}]}, "mountPath: 'data' is not an absolute"),
        ({"volumes": [{**VOLUME, "mountPath": "/a/../b"}]}, "mountPath: '/a/../b' is not"),
        ({"volumes": [{**VOLUME, "mountPath": "/"}]}, "mountPath: '/' is not"),
        ({"volumes": [{**VOLUME, "mountPath": "/a/"}]}, "mountPath: '/a/' is not"),
        ({"volumes": [{**VOLUME, "mountPath": "/aa" * 170 + "/."}]}, "is not an absolute path"),
        ({"volumes": [{**VOLUME, "name": "data\n"}]}, "regex"),
        ({"user": "me\n"}, "is not a user id or name"),
        ({"volumes": [{"mountPath": "/d", "hostPath": "/.."}]}, "hostPath: '/..' is not"),
        ({"volumes": [VOLUME, {**VOLUME, "name": "b"}]}, "mountPath: '/data' stands twice"),
        (
            {"resources": {"memory": "128"}},
            " memory: '128' is not a whole number with a unit of Ki",
        ),
        ({"resources": {"cpus": "0.5"}}, "cpus: '0.5' is not"),
        ({"resources": {"cpus": "0.5"}}, "such as 500m"),
        ({"resources": {"cpus": "9m"}}, "from 10m on"),
        ({"ports": [{"host": 1, "container": 1, "hostIp": "1.2"}]}, "hostIp: '1.2' is not an IPv4"),
        ({"ports": [{"host": 1, "container": 1, "hostIp": "256.0.0.1"}]}, "is not an IPv4 or IPv6"),
        ({"resources": {"pids": 0}}, "`int` >= 1"),
        ({"healthcheck": {}}, "missing required field `command`"),
        ({"healthcheck": {"command": []}}, "length >= 1"),
        ({"healthcheck": {"command": ["a"], "interval": "10s"}}, "Expected `int`"),
        ({"user": "a b"}, "user: 'a b' is not a user id or name"),
        ({"capabilities": {"add": ["CAP_CHOWN"]}}, "written without CAP_"),
        ({"capabilities": {"drop": ["chown"]}}, "not a capability like NET_ADMIN"),
        ({"capabilities": {"add": ["A"], "drop": ["A"]}}, "both added and dropped"),
        ({"stopTimeout": -1}, "`int` >= 0"),
        ({"labels": {"fleet.nationtech.io/digest": ""}}, "keys of nationtech.io are Fleet's own"),
        ({"labels": {"nationtech.io/x": ""}}, "keys of nationtech.io are Fleet's own"),
        ({"labels": {"a b": ""}}, "labels: 'a b' is not a label key"),
        ({"networkMode": "host", "ports": [{"host": 1, "container": 1}]}, "bridge only"),
        ({"ports": [{"host": 1, "container": n} for n in (1, 2)]}, "1/tcp is published twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_breaks_a_rule_is_invalid_and_told_where_and_why(fields, why):
    service = {"name": "a", "image": "x", **fields}
    with pytest.raises(errors.InvalidDesiredState) as refusal:
        scores.decode("PodmanV0", {"services": [service]})
    assert why in str(refusal.value)
    assert "$.services[0]" in str(refusal.value)


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ({}, {}, True),
        ({}, {"hostIp": "10.0.0.1"}, True),
        ({"hostIp": "10.0.0.1"}, {"hostIp": "0.0.0.0"}, True),
        ({"hostIp": "10.0.0.1"}, {"hostIp": "10.0.0.1"}, True),
        ({"hostIp": "10.0.0.1"}, {"hostIp": "10.0.0.2"}, False),
        ({}, {"protocol": "udp"}, False),
        ({"protocol": "tcp"}, {}, True),
        ({}, {"host": 81}, False),
    ],
    ids=str,
)
def test_two_services_share_a_host_port_on_two_addresses_or_protocols_only(one, other, collide):
    services = [
        {"name": name, "image": "x", "ports": [{"host": 80, "container": 1, **port}]}
        for name, port in (("a", one), ("b", other))
    ]
    if not collide:
        assert scores.decode("PodmanV0", {"services": services})
        return
    with pytest.raises(
        errors.InvalidDesiredState, match="'a' and 'b' want the same host port"
    ) as refusal:
        scores.decode("PodmanV0", {"services": services})
    assert refusal.value.element == "b"


def test_every_field_decodes_and_the_defaults_are_added_here_alone():
    written = {
        "name": "a",
        "image": "x",
        "volumes": [{"name": "data", "mountPath": "/data"}],
        "resources": {"memory": "128Mi"},
        "healthcheck": {"command": ["/bin/true"]},
        "labels": {"example.org/team": "web"},
    }
    (service,) = scores.decode("PodmanV0", {"services": [written]}).services
    assert service.volumes == (scores.Volume(name="data", mount_path="/data"),)
    assert service.resources == scores.Resources(memory="128Mi")
    assert service.healthcheck == scores.Healthcheck(
        command=("/bin/true",), interval=10, timeout=5, retries=3, start_period=0
    )
    assert (service.user, service.read_only_rootfs, service.stop_timeout) == ("", False, None)


def test_labels_alone_change_the_digest_of_their_service_only():
    before = scores.service_digests(TWO)
    first, *rest = TWO["services"]
    after = scores.service_digests({"services": [{**first, "labels": {"a": "b"}}, *rest]})
    assert {name for name in before if before[name] != after[name]} == {first["name"]}


@pytest.mark.parametrize("count", [0, scores.MAX_SERVICES + 1], ids=["none", "too many"])
def test_the_number_of_services_has_limits(count):
    services = [{"name": f"s{n}", "image": "x"} for n in range(count)]
    with pytest.raises(errors.InvalidDesiredState):
        scores.decode("PodmanV0", {"services": services})


def test_two_services_of_one_name_are_invalid_and_named():
    twice = {"services": [{"name": "a", "image": "x"}, {"name": "a", "image": "y"}]}
    with pytest.raises(errors.InvalidDesiredState) as refusal:
        scores.decode("PodmanV0", twice)
    assert refusal.value.element == "a"


def _shuffled(value, chance: random.Random):
    if isinstance(value, dict):
        keys = list(value)
        chance.shuffle(keys)
        return {key: _shuffled(value[key], chance) for key in keys}
    if isinstance(value, list):
        return [_shuffled(item, chance) for item in value]
    return value


def _plain(data):
    """State sameness without the code under test."""
    return sorted(
        json.dumps(_without_nulls(service), sort_keys=True) for service in data["services"]
    )


def _without_nulls(value):
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
