"""The control plane's files and command lines."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.services.cluster import control_plane as planes
from lab.services.cluster.control_plane import ControlPlane

PLANE = ControlPlane("fleet-a", Path("/state/cluster"), "10.213.7.1", 6443, 40000)


def test_the_api_listens_on_the_labs_address_and_has_it_in_its_certificate():
    argv = planes.api_server(PLANE)
    assert "--bind-address=10.213.7.1" in argv
    assert "--advertise-address=10.213.7.1" in argv
    assert "--secure-port=6443" in argv
    assert PLANE.server == "https://10.213.7.1:6443"


def test_rights_are_enforced():
    assert "--authorization-mode=RBAC,Node" in planes.api_server(PLANE)


def test_etcd_has_no_address_at_all():
    assert [flag for flag in planes.etcd(PLANE) if "://" in flag and "unix://" not in flag] == []


def test_etcd_and_the_api_agree_on_the_socket():
    assert "--listen-client-urls=unix://etcd.sock" in planes.etcd(PLANE)
    assert "--etcd-servers=unix://etcd.sock" in planes.api_server(PLANE)
    assert Path("/state/cluster/etcd.sock") == PLANE.etcd_socket


def test_only_signs_of_life_are_for_anybody():
    anonymous = json.loads(planes.authentication())["anonymous"]
    assert anonymous["conditions"] == [{"path": p} for p in ("/livez", "/readyz", "/healthz")]


@pytest.mark.parametrize(
    ("namespace", "context"),
    [
        ("", {"cluster": "fleet-a", "user": "admin"}),
        ("n", {"cluster": "fleet-a", "user": "admin", "namespace": "n"}),
    ],
)
def test_a_kubeconfig_is_yaml_with_one_context(namespace, context):
    text = planes.kubeconfig(PLANE, "Q0E=", "admin", {"token": "t"}, namespace=namespace)
    found = yaml.safe_load(text)
    assert found["contexts"] == [{"name": "fleet-a", "context": context}]
    assert found["current-context"] == "fleet-a"
    assert found["users"] == [{"name": "admin", "user": {"token": "t"}}]
    assert found["clusters"][0]["cluster"] == {
        "server": "https://10.213.7.1:6443",
        "certificate-authority-data": "Q0E=",
    }


@given(
    st.dictionaries(
        st.sampled_from(sorted(planes.GROUPS)), st.text("abcXYZ019_-", min_size=1, max_size=43)
    )
)
def test_tokens_are_read_as_they_were_written(tokens):
    assert planes.read_tokens(planes.token_lines(tokens)) == tokens


def test_lines_of_another_hand_count_for_nothing():
    assert planes.read_tokens('t,mallory,mallory,"system:masters"\n\nnonsense\n') == {}
