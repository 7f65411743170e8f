"""`lab.devices.vm.hypervisor.admission`: machines boot as the host can carry them."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.devices.vm.hypervisor import admission
from lab.devices.vm.hypervisor.admission import Capacity, Gate
from lab.errors import PreflightFailed

PLENTY = Capacity(cores=2, available_mib=20_000, total_mib=24_000)


@given(
    memory=st.integers(min_value=1, max_value=65_536),
    booting=st.dictionaries(st.text("abc", min_size=1), st.integers(1, 8192), max_size=5),
    cores=st.integers(min_value=1, max_value=8),
    available=st.integers(min_value=0, max_value=65_536),
)
def test_who_is_admitted_has_a_core_and_its_memory(
    memory: int, booting: dict[str, int], cores: int, available: int
):
    capacity = Capacity(cores, available, available)

    if admission.refusal(memory, booting, capacity) == "":
        assert len(booting) < cores
        assert memory + sum(booting.values()) < available


def test_one_that_waits_for_a_core_is_told_for_whom():
    why = admission.refusal(768, {"vm-01": 768, "vm-02": 768}, PLENTY)

    assert why.startswith("vm-01, vm-02 boot first")


def test_a_host_without_the_memory_refuses_with_what_to_do():
    gate = Gate(lambda: Capacity(cores=2, available_mib=1000, total_mib=2000))

    with (
        pytest.raises(PreflightFailed, match=r"vm-01 can't boot: it needs \d+ MiB") as caught,
        gate.admitted("vm-01", 768, within=10, saw=lambda _: None),
    ):
        pass

    assert "memory" in caught.value.hint


def test_a_place_is_free_again_once_somebody_has_booted():
    gate = Gate(lambda: Capacity(cores=1, available_mib=20_000, total_mib=24_000))
    inside, done = threading.Event(), threading.Event()
    order: list[str] = []

    def second() -> None:
        inside.wait(10)
        with gate.admitted("vm-02", 768, within=10, saw=lambda _: done.set()):
            order.append("vm-02")

    other = threading.Thread(target=second)
    other.start()
    with gate.admitted("vm-01", 768, within=10, saw=lambda _: None):
        inside.set()
        order.append("vm-01")
    other.join(10)

    assert order == ["vm-01", "vm-02"]


def test_a_place_is_free_again_after_a_boot_that_failed():
    gate = Gate(lambda: Capacity(cores=1, available_mib=20_000, total_mib=24_000))

    with (
        pytest.raises(RuntimeError),
        gate.admitted("vm-01", 768, within=1, saw=lambda _: None),
    ):
        raise RuntimeError

    with gate.admitted("vm-02", 768, within=0, saw=lambda _: None):
        pass
