"""`lab.system.podman_configuration`: the files that keep one device's podman to itself."""

import json
import tomllib
from pathlib import Path

import pytest

from lab.system import podman_configuration
from lab.system.podman_configuration import Engine, Limits

ROOT = Path("/srv/lab/dev-01")
LOWERED = Engine("runc", Limits(nofile=1024, nproc=1000))


def test_everything_podman_writes_lies_beneath_the_device():
    containers = tomllib.loads(podman_configuration.containers_conf(ROOT, LOWERED))
    storage = tomllib.loads(podman_configuration.storage_conf(ROOT, None))
    places = [
        containers["engine"]["tmp_dir"],
        containers["engine"]["volume_path"],
        containers["engine"]["image_copy_tmp_dir"],
        containers["network"]["network_config_dir"],
        storage["storage"]["graphroot"],
        storage["storage"]["runroot"],
    ]

    assert all(Path(place).is_relative_to(ROOT) for place in places)


def test_locks_are_files_since_shared_memory_is_one_for_all_devices():
    assert (
        tomllib.loads(podman_configuration.containers_conf(ROOT, LOWERED))["engine"]["lock_type"]
        == "file"
    )


def test_lowered_limits_reach_the_containers():
    containers = tomllib.loads(podman_configuration.containers_conf(ROOT, LOWERED))["containers"]

    assert containers["default_ulimits"] == ["nofile=1024:1024", "nproc=1000:1000"]


def test_devices_read_the_shared_store_of_base_images():
    storage = tomllib.loads(podman_configuration.storage_conf(ROOT, Path("/cache/base")))["storage"]

    assert storage["options"]["additionalimagestores"] == ["/cache/base"]


def test_the_labs_registry_speaks_plain_http():
    (registry,) = tomllib.loads(podman_configuration.registries_conf("10.213.1.1:5000"))["registry"]

    assert registry == {"location": "10.213.1.1:5000", "insecure": True}


def test_the_variables_name_files_that_are_written():
    written = podman_configuration.files(ROOT, LOWERED, "localhost:1")
    named = [
        value
        for name, value in podman_configuration.environment(ROOT).items()
        if name[:5] == "CONTA"
    ]

    assert len(named) == 3
    assert {Path(value) for value in named} <= set(written)
    assert json.loads(written[ROOT / ".config/containers/policy.json"])


@pytest.mark.parametrize(
    ("capabilities", "limits"),
    [
        (1 << 24, None),
        ((1 << 40) - 1, None),
        (0, Limits(1024, 1000)),
        (0xFEFFFFFF, Limits(1024, 1000)),
    ],
)
def test_limits_are_lowered_without_the_right_to_raise_them(capabilities, limits):
    assert podman_configuration.limits_for(capabilities, 20000, 96000) == limits


def test_limits_never_exceed_the_hosts():
    assert podman_configuration.limits_for(0, 512, -1) == Limits(nofile=512, nproc=1000)


@pytest.mark.parametrize(
    ("pure_v2", "has_crun", "runtime"),
    [(True, True, "crun"), (True, False, "runc"), (False, True, "runc"), (False, False, "runc")],
)
def test_crun_runs_only_on_pure_v2(pure_v2, has_crun, runtime):
    assert podman_configuration.runtime_for(pure_v2=pure_v2, has_crun=has_crun) == runtime


def test_a_path_too_long_for_a_socket_is_noticed():
    assert podman_configuration.fits_a_socket(Path("/" + "x" * 106))
    assert not podman_configuration.fits_a_socket(Path("/" + "x" * 107))
