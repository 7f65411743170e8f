"""Metrics: what is counted shows, under the names that dashboards know."""

from fleet.operator.adapters.loop_steps import Steps
from fleet.operator.adapters.metrics import Metrics
from fleet.operator.model.store import Store
from tests.operator_process import metric
from tests.unit.operator.making import deployment, device


def test_what_is_counted_shows():
    metrics, store, steps = Metrics(), Store(), Steps()
    metrics.watch(store, steps)
    steps.take(0.25, 0.2)
    steps.take(0.01, 0.01)
    store.put_deployment(deployment())
    for name in ("d1", "d2", "d3"):
        store.put_device(device(name))
    store.set_silent(device("d3").id, silent=True)
    metrics.undecodable("device-info")
    metrics.published("mark")
    metrics.wrote("device")
    metrics.failed("desired", "BusUnavailable")
    metrics.worked("desired", 0.1)
    metrics.orphans(2)
    metrics.orphans_held(1)
    metrics.resynced()
    metrics.stored("device-info", 50, 100)
    page = metrics.render().decode()
    assert metric(page, "fleet_loop_step_seconds_max") == 0.25
    assert metric(page, "fleet_loop_step_cpu_seconds_max") == 0.2
    assert metric(page, "fleet_loop_long_steps_total") == 1
    assert metric(page, "fleet_deployments") == 1
    assert metric(page, "fleet_devices", silent="false") == 2
    assert metric(page, "fleet_devices", silent="true") == 1
    assert metric(page, "fleet_undecodable_total", bucket="device-info") == 1
    assert metric(page, "fleet_published_total", action="mark") == 1
    assert metric(page, "fleet_status_writes_total", what="device") == 1
    assert metric(page, "fleet_work_failures_total", reason="BusUnavailable") == 1
    assert metric(page, "fleet_work_seconds_count", queue="desired") == 1
    assert metric(page, "fleet_orphans") == 2
    assert metric(page, "fleet_orphans_held") == 1
    assert metric(page, "fleet_resyncs_total") == 1
    assert metric(page, "fleet_bucket_bytes", bucket="device-info") == 50
    assert metric(page, "fleet_bucket_max_bytes", bucket="device-info") == 100


def test_the_connection_shows_as_it_is_when_somebody_asks():
    metrics, unheard, faults = Metrics(), [float("inf")], [0]
    metrics.watch_connection(lambda: unheard[0], lambda: faults[0])
    assert metric(metrics.render().decode(), "fleet_nats_unheard_seconds") == float("inf")
    unheard[0], faults[0] = 1.5, 2
    page = metrics.render().decode()
    assert metric(page, "fleet_nats_unheard_seconds") == 1.5
    assert metric(page, "fleet_nats_faults") == 2
