"""`container_fields`: what a service may say of devices, memory, files, hosts and logs."""

import time
from typing import Any

import msgspec
import pytest

from fleet import errors
from fleet.contracts import scores

VOLUME = {"name": "d", "mountPath": "/d"}
SHM = "/dev/shm"  # noqa: S108 - in the container
FILE = {"path": "/f", "content": "x"}


def decode(**fields: Any) -> scores.Service:
    (service,) = scores.decode(
        "PodmanV0", {"services": [{"name": "a", "image": "x", **fields}]}
    ).services
    return service


def test_defaults_are_added_here_alone():
    service = decode(
        devices=[{"path": "/dev/ttyUSB0"}],
        tmpfs=[{"path": "/t"}],
        files=[FILE],
    )
    (node,), (tmpfs,), (file,) = service.devices, service.tmpfs, service.files
    assert (node.target, node.permissions, node.shared) == ("/dev/ttyUSB0", "rwm", False)
    assert (tmpfs.size, tmpfs.mode) == ("", "1777")
    assert file.mode == "0444"
    assert (service.hostname, service.shm_size, service.logs.max_size) == (None, None, "")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"devices": [{"path": "ttyUSB0"}]}, "path: 'ttyUSB0' is not a device node below /dev"),
        ({"devices": [{"path": "/dev"}]}, "is not a device node below /dev"),
        ({"devices": [{"path": "/dev/"}]}, "is not a device node below /dev"),
        ({"devices": [{"path": "/devices/x"}]}, "is not a device node below /dev"),
        ({"devices": [{"path": "/dev/../etc/shadow"}]}, "is not a device node below /dev"),
        ({"devices": [{"path": "/dev/a:rwm"}]}, "containerPath: '/dev/a:rwm' is not"),
        ({"devices": [{"path": "/dev/a", "containerPath": "x"}]}, "containerPath: 'x' is not"),
        ({"devices": [{"path": "/dev/a", "containerPath": ""}]}, "length >= 1"),
        ({"devices": [{"path": "/dev/a", "permissions": "wr"}]}, "in that order, such as rw"),
        ({"devices": [{"path": "/dev/a", "permissions": "rwx"}]}, "in that order, such as rw"),
        ({"devices": [{"path": "/dev/a"}] * 2}, "'/dev/a' stands twice"),
        ({"devices": [{"path": f"/dev/a{n}"} for n in range(17)]}, "length <= 16"),
        ({"tmpfs": [{"path": "t"}]}, "path: 't' is not an absolute path"),
        ({"tmpfs": [{"path": "/t", "size": "1"}]}, "size: '1' is not a whole number with a unit"),
        ({"tmpfs": [{"path": "/t", "mode": "8"}]}, "octal digits in quotes"),
        ({"tmpfs": [{"path": "/t", "mode": 448}]}, "Expected `str`"),
        ({"tmpfs": [{"path": "/d"}], "volumes": [VOLUME]}, "'/d' stands twice"),
        ({"shmSize": "64"}, "shmSize: '64' is not a whole number with a unit"),
        ({"shmSize": ""}, "length >= 1"),
        ({"shmSize": "1Mi", "tmpfs": [{"path": SHM}]}, "shmSize: '/dev/shm' is mounted"),
        ({"hostname": "a_b"}, "is not the name of a host"),
        ({"hostname": "a."}, "is not the name of a host"),
        ({"hostname": "-a"}, "is not the name of a host"),
        ({"hostname": "a\n"}, "is not the name of a host"),
        ({"hostname": "a" * 64}, "length <= 63"),
        ({"extraHosts": [{"hostname": "a", "ip": "1.2"}]}, "ip: '1.2' is not an IPv4 or IPv6"),
        ({"extraHosts": [{"hostname": "a:b", "ip": "::1"}]}, "is not the name of a host"),
        ({"extraHosts": [{"hostname": "a", "ip": "host-gateway"}]}, "regex"),
        ({"extraHosts": ["a:1.2.3.4"]}, "Expected `object`"),
        (
            {
                "extraHosts": [{"hostname": "a", "ip": "::1"}],
                "files": [{**FILE, "path": "/etc/hosts"}],
            },
            "extraHosts: '/etc/hosts' is mounted",
        ),
        ({"dns": ["1.2.3"]}, "dns: '1.2.3' is not an IPv4 or IPv6 address"),
        ({"dns": ["10.0.0.1"] * 4}, "length <= 3"),
        ({"dns": ["10.0.0.1"], "networkMode": "none"}, "in networkMode none"),
        (
            {"dns": ["::1"], "volumes": [{**VOLUME, "mountPath": "/etc/resolv.conf"}]},
            "dns: '/etc/resolv.conf' is mounted",
        ),
        ({"sysctls": {"vm.swappiness": "1"}}, "is not a sysctl that a container has of its own"),
        ({"sysctls": {"kernel.panic": "1"}}, "is not a sysctl that a container has of its own"),
        ({"sysctls": {"net.": "1"}}, "is not a sysctl that a container has of its own"),
        ({"sysctls": {"net/core/somaxconn": "1"}}, "is not a sysctl that a container has"),
        ({"sysctls": {"net.core.somaxconn": 1}}, "Expected `str`"),
        ({"sysctls": {"net.core.somaxconn": "1\n2"}}, "regex"),
        ({"sysctls": {"net.core.somaxconn": "1"}, "networkMode": "host"}, "in networkMode host"),
        ({"files": [{"path": "/f"}]}, "missing required field `content`"),
        ({"files": [{**FILE, "mode": "4755"}]}, "mode: '4755' is not three octal digits"),
        ({"files": [FILE, FILE]}, "'/f' stands twice"),
        ({"files": [{**FILE, "path": "/d"}], "volumes": [VOLUME]}, "'/d' stands twice"),
        ({"files": [FILE], "tmpfs": [{"path": "/f/t"}]}, "'/f/t' lies in the file '/f'"),
        ({"files": [{**FILE, "content": "x" * 65_537}]}, "length <= 65536"),
        (
            {"files": [{**FILE, "content": "é" * 32_769}]},
            "files: 65538 bytes in all; at most 65536",
        ),
        ({"files": [{"path": f"/{n}", "content": "x" * 32_769} for n in range(2)]}, "65538 bytes"),
        ({"files": [{**FILE, "content": "\ud800"}]}, "surrogates not allowed"),
        ({"logs": {"maxSize": "10"}}, "maxSize: '10' is not a whole number with a unit"),
        ({"logs": {"driver": "x"}}, "unknown field `driver`"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_breaks_a_rule_is_refused_and_told_where_and_why(
    fields: dict[str, Any], why: str
):
    with pytest.raises(errors.UndecodableValue) as refusal:
        decode(**fields)
    assert why in str(refusal.value)
    assert "$.services[0]" in str(refusal.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"files": [{**FILE, "content": "é" * 32_768}]},
        {"files": [{**FILE, "path": "/t/f"}], "tmpfs": [{"path": "/t"}]},
        {"devices": [{"path": "/dev/a:b", "containerPath": "/dev/a"}]},
        {"devices": [{"path": "/dev/a"}, {"path": "/dev/a", "containerPath": "/dev/b"}]},
        {"extraHosts": [{"hostname": "a", "ip": ip} for ip in ("10.0.0.1", "fd00::1")]},
        {"sysctls": {"net.ipv4.conf.eth0.rp_filter": "1", "fs.mqueue.msg_max": "20"}},
        {"networkMode": "host", "sysctls": {"kernel.shm_rmid_forced": "1"}},
        {"networkMode": "host", "hostname": "a", "dns": ["10.0.0.1"]},
    ],
    ids=str,
)
def test_what_is_allowed_is_taken(fields: dict[str, Any]):
    decode(**fields)


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        ({}, {}, True),
        ({"shared": True}, {}, True),
        ({}, {"shared": True}, True),
        ({"shared": True}, {"shared": True}, False),
        ({"path": "/dev/b"}, {}, False),
    ],
    ids=str,
)
def test_two_services_have_one_node_only_where_both_share_it(
    one: dict[str, Any], other: dict[str, Any], refused: bool
):
    services = [
        {"name": name, "image": "x", "devices": [{"path": "/dev/a", **node}]}
        for name, node in (("a", one), ("b", other))
    ]
    if not refused:
        assert scores.decode("PodmanV0", {"services": services})
        return
    with pytest.raises(
        errors.InvalidDesiredState, match="'a' and 'b' want the same device /dev/a"
    ) as refusal:
        scores.decode("PodmanV0", {"services": services})
    assert refusal.value.element == "b"


@pytest.mark.parametrize(
    "fields",
    [
        {"hostname": "a-" * 31 + "_"},
        {"devices": [{"path": "/dev" + "/a" * 125 + "/."}]},
        {"devices": [{"path": "/dev/a", "containerPath": "/a" * 127 + "/."}]},
        {"sysctls": {"net" + ".a" * 126 + ".": "1"}},
    ],
    ids=str,
)
def test_a_long_text_that_does_not_fit_is_told_at_once(fields: dict[str, Any]):
    begun = time.process_time()
    with pytest.raises(errors.InvalidDesiredState):
        decode(**fields)
    assert time.process_time() - begun < 0.5


def test_every_list_of_a_service_is_limited():
    fields = msgspec.json.schema(scores.Service)["$defs"]["Service"]["properties"]
    assert all("maxItems" in f for f in fields.values() if f.get("type") == "array")
