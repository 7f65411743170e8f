"""`Device` objects: made from what devices tell, and left alone where nothing is new."""

import asyncio

import pytest

from fleet.contracts import kv
from fleet.contracts.messages import Phase
from lab.bench.simulated_device import SimulatedDevice
from lab.services.cluster.client import FLEET
from tests.integration.operator.site import Body, Site, condition
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)  # the first test of a module starts the control plane

SILENCE = 3


@pytest.fixture(scope="module")
def operator_environment() -> dict[str, str]:
    return {"FLEET_SILENCE": str(SILENCE)}


async def test_an_object_says_what_the_device_told(site: Site):
    device = site.device()
    async with device.beating():
        await device.register({"site": site.site, "arch": "x86_64"})
        body = await eventually(lambda: until(site, device, "Ready", "True"), "it is ready")
    assert body["metadata"]["labels"] == {"site": site.site, "arch": "x86_64"}
    assert body["status"]["inventory"]["arch"] == "x86_64"
    assert body["status"]["agentVersion"] == "0"
    assert body["status"]["lastHeartbeat"]
    assert condition(body["status"], "Stale")["status"] == "False"


async def test_heartbeats_never_reach_the_api_server(site: Site):
    device = site.device()
    async with device.beating():
        await device.register({"site": site.site})
        body = await eventually(lambda: until(site, device, "Ready", "True"), "it is ready")
        for _ in range(20):
            await device.beat()
        await site.deploy("web", labels={"site": "nowhere"})
        await site.until_ready("web", "0/0")
        found = await site.device_object(device)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]


async def test_a_silent_device_is_stale_and_counts_as_unknown_until_it_is_heard(site: Site):
    device, other = site.device(1), site.device(2)
    async with other.beating():
        await other.register({"site": site.site})
        async with device.beating():
            await device.register({"site": site.site})
            await site.deploy("web")
            await site.until_ready("web", "0/2")
            await run(site, device)
            await run(site, other)
            await site.until_ready("web", "2/2")

        await eventually(lambda: until(site, device, "Stale", "True"), "it is stale", within=20)
        status = await site.until_ready("web", "1/2")
        assert status["aggregate"]["unknown"] == 1
        assert status["reason"] == "DevicesSilent"
        found = await site.device_object(other)
        assert found is not None
        assert condition(found["status"], "Stale")["status"] == "False"

        async with device.beating():
            await eventually(lambda: until(site, device, "Ready", "True"), "it is heard")
            await site.until_ready("web", "2/2")


async def test_deletion_does_not_wait_for_a_silent_device(site: Site):
    device = site.device()
    async with device.beating():
        await device.register({"site": site.site})
        await site.deploy("web")
        await run(site, device)
    await eventually(lambda: until(site, device, "Stale", "True"), "it is stale", within=20)

    await site.kube.delete(site.path("web"))

    async def released() -> bool:
        return await site.kube.find(site.path("web")) is None

    await eventually(released, "the deployment is released")
    await eventually(
        lambda: site.has_event("DevicesLeft", saying=device.id), "an event names who is left"
    )


async def test_nobody_turns_stale_while_the_operator_is_deaf(site: Site):
    device = site.device()
    async with device.beating():
        await device.register({"site": site.site})
        await eventually(lambda: until(site, device, "Ready", "True"), "it is ready")
    site.operator.nats.pause()
    try:
        await asyncio.sleep(2 * SILENCE)
    finally:
        site.operator.nats.resume()
    async with device.beating():
        await eventually(lambda: acts(site), "it acts again", within=30)
    assert [entry for entry in site.operator.entries() if silenced(entry, device)] == []


async def test_two_agents_of_one_name_are_told_until_one_is_stopped(site: Site):
    device = site.device()
    twin = SimulatedDevice(site.bus, device.id, instance="twin")
    async with device.beating():
        await device.register({"site": site.site})
        body = await eventually(lambda: until(site, device, "Ready", "True"), "it is ready")
        assert not condition(body["status"], "DuplicateAgent")
        async with twin.beating(every=0.4):
            body = await eventually(
                lambda: until(site, device, "DuplicateAgent", "True"), "the twin is told"
            )
        assert "sim and twin" in condition(body["status"], "DuplicateAgent")["message"]
        assert condition(body["status"], "Ready")["status"] == "True"
        await eventually(lambda: site.has_event("DuplicateAgent", saying=device.id), "an event")
        await eventually(
            lambda: site.device_where(
                device, lambda body: not condition(body["status"], "DuplicateAgent")
            ),
            "it is alone again",
            within=30,
        )


async def test_a_restarted_agent_is_no_twin_of_itself(site: Site):
    device = site.device()
    after = SimulatedDevice(site.bus, device.id, instance="after")
    async with device.beating():
        await device.register({"site": site.site})
        await eventually(lambda: until(site, device, "Ready", "True"), "it is ready")
    async with after.beating():
        await after.register({"site": site.site})
        await device.beat()  # the last of a session that nobody closed
        for _ in range(20):
            await after.beat()
        await site.registered(2)  # what comes later is served
        body = await site.device_object(device)
    assert body is not None
    assert condition(body["status"], "Ready")["status"] == "True"
    assert not condition(body["status"], "DuplicateAgent")


async def test_labels_that_devices_may_not_set_are_dropped_and_named(site: Site):
    device = site.device()
    await device.register(
        {
            "site": site.site,
            "node-role.kubernetes.io/master": "",
            "fleet.nationtech.io/admin": "true",
            "not a key": "x",
            "value": "not a value",
        }
    )
    body = await eventually(
        lambda: site.device_where(device, lambda b: condition(b["status"], "LabelsRefused")),
        "the labels are refused",
    )
    assert body["metadata"]["labels"] == {"site": site.site}
    message = condition(body["status"], "LabelsRefused")["message"]
    assert "node-role.kubernetes.io/master" in message
    assert "not a key" in message


async def test_labels_belong_to_whoever_set_them(site: Site):
    device = await site.registered(zone="told-by-device")
    path = f"{FLEET}/devices/{device.id}"
    await site.kube.patch(path, {"metadata": {"labels": {"rack": "set-by-admin"}}})

    await device.register({"site": site.site, "arch": "x86_64"})
    body = await eventually(
        lambda: site.device_where(device, lambda b: "arch" in b["metadata"]["labels"]),
        "the new label is there",
    )
    assert body["metadata"]["labels"] == {
        "site": site.site,
        "arch": "x86_64",
        "rack": "set-by-admin",
    }
    assert owned_labels(body, "fleet-operator") == {"site", "arch"}


async def test_info_that_is_gone_changes_no_label(site: Site):
    device = await site.registered(zone="told-by-device")
    before = await site.device_object(device)
    await device.infos.delete(kv.device_info_key(device.id))
    await device.infos.purge(kv.device_info_key(device.id))
    other = await site.registered(2)  # what comes later is served
    await other.register({"site": site.site, "later": "yes"})
    await eventually(
        lambda: site.device_where(other, lambda b: "later" in b["metadata"]["labels"]),
        "labels are written",
    )
    after = await site.device_object(device)
    assert before is not None
    assert after is not None
    assert after["metadata"]["labels"] == before["metadata"]["labels"]


async def test_an_administrators_label_wins_until_it_is_taken_back(site: Site):
    device = await site.registered(zone="told-by-device")
    path = f"{FLEET}/devices/{device.id}"

    await site.kube.patch(path, {"metadata": {"labels": {"zone": "set-by-admin"}}})
    body = await eventually(
        lambda: site.device_where(device, lambda b: condition(b["status"], "LabelConflict")),
        "the conflict is told",
    )
    assert body["metadata"]["labels"]["zone"] == "set-by-admin"
    message = condition(body["status"], "LabelConflict")["message"]
    assert message.startswith("zone=set-by-admin is set by ")
    assert "the device says 'told-by-device'" in message

    await site.kube.patch(path, {"metadata": {"labels": {"zone": None}}})
    body = await eventually(
        lambda: site.device_where(
            device, lambda b: b["metadata"]["labels"].get("zone") == "told-by-device"
        ),
        "the device's label is back",
    )


async def test_conditions_of_others_are_kept_beside_ours(site: Site):
    device = await site.registered()
    foreign = {
        "type": "DiskHealthy",
        "status": "True",
        "reason": "Checked",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    path = f"{FLEET}/devices/{device.id}"
    await eventually(
        lambda: site.device_where(device, lambda b: condition(b["status"], "Ready")), "described"
    )
    body = {
        "apiVersion": "fleet.nationtech.io/v1alpha1",
        "kind": "Device",
        "metadata": {"name": str(device.id)},
        "status": {"conditions": [foreign]},
    }
    await site.kube.apply(f"{path}/status", body)
    await device.register({"site": site.site, "new": "label"})
    found = await eventually(
        lambda: site.device_where(device, lambda b: "new=" in b["status"]["summary"]["labels"]),
        "the operator wrote its own",
    )
    kept = condition(found["status"], "DiskHealthy")
    assert kept == {**foreign, "message": kept.get("message", "")}


async def test_what_does_not_decode_changes_nothing_and_is_counted(site: Site):
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web")
    wanted = await eventually(lambda: device.wanted(name), "the device is told")
    await device.report(name, Phase.RUNNING, wanted.revision)
    await site.until_ready("web", "1/1")
    before = await site.device_object(device)

    for bucket, key in (
        (kv.BUCKET_DEVICE_INFO, kv.device_info_key(device.id)),
        (kv.BUCKET_DEVICE_STATE, f"state.{device.id}.{name}"),
        (kv.BUCKET_DEVICE_STATE, "state.No_Device.web"),
        (kv.BUCKET_DEVICE_HEARTBEAT, "heartbeat.never-heard-of"),
    ):
        await site.bus.require().request(f"$KV.{bucket}.{key}", b"{not json")

    await eventually(lambda: counted(site, kv.BUCKET_DEVICE_INFO), "the info is counted")
    await eventually(lambda: counted(site, kv.BUCKET_DEVICE_STATE), "the states are counted")
    await eventually(lambda: counted(site, kv.BUCKET_DEVICE_HEARTBEAT), "the beat is counted")
    other = await site.registered(2)
    await eventually(lambda: other.wanted(name), "another device is served")
    status = await site.until_ready("web", "1/2")
    assert status["aggregate"]["pending"] == 1
    after = await site.device_object(device)
    assert before is not None
    assert after is not None
    assert after["metadata"]["labels"] == before["metadata"]["labels"]


def owned_labels(body: Body, manager: str) -> set[str]:
    """List the labels that *manager* owns."""
    return {
        key.removeprefix("f:")
        for entry in body["metadata"]["managedFields"]
        if entry["manager"] == manager
        for key in entry["fieldsV1"].get("f:metadata", {}).get("f:labels", {})
        if key != "."
    }


async def run(site: Site, device: SimulatedDevice) -> None:
    """Have the device run what it is told."""
    wanted = await eventually(lambda: device.wanted(site.name("web")), f"{device.id} is told")
    await device.report(site.name("web"), Phase.RUNNING, wanted.revision)


async def acts(site: Site) -> bool:
    """Tell whether what comes now is acted on."""
    await site.deploy("later", labels={"site": "nowhere"})
    return await site.status_where("later", lambda s: s["ready"] == "0/0") is not None


def silenced(entry: Body, device: SimulatedDevice) -> bool:
    return bool(entry["event"] == "device silent" and entry["device"] == device.id)


async def counted(site: Site, bucket: str) -> bool:
    return await site.metric("fleet_undecodable_total", bucket=bucket) >= 1


async def until(site: Site, device: SimulatedDevice, type_: str, status: str) -> Body | None:
    return await site.device_where(
        device, lambda body: condition(body["status"], type_).get("status") == status
    )
