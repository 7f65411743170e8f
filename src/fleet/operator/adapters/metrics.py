"""What Prometheus may ask: counters that the work moves, and gauges read from the store."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fleet.operator.adapters.loop_steps import Steps
from fleet.operator.model.store import Store


class Metrics:
    """`ports.Counter` with a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._work = Histogram(
            "fleet_work_seconds", "Time per pass over one key", ["queue"], registry=self.registry
        )
        self._failures = Counter(
            "fleet_work_failures", "Passes that failed", ["queue", "reason"], registry=self.registry
        )
        self._undecodable = Counter(
            "fleet_undecodable",
            "Values that were no message of their bucket",
            ["bucket"],
            registry=self.registry,
        )
        self._times_replaced = Counter(
            "fleet_times_replaced",
            "Messages with a time that could not be right, for which the server's stands in",
            ["bucket"],
            registry=self.registry,
        )
        self._swept = Counter(
            "fleet_junk_keys_swept",
            "Keys under a device's id that nobody has a use for",
            ["bucket"],
            registry=self.registry,
        )
        self._published = Counter(
            "fleet_published", "Writes to desired-state", ["action"], registry=self.registry
        )
        self._writes = Counter(
            "fleet_status_writes", "Writes to the API server", ["what"], registry=self.registry
        )
        self._events = Counter(
            "fleet_events",
            "Kubernetes Events: posted, left out of a crowd, lost",
            ["outcome"],
            registry=self.registry,
        )
        self._resyncs = Counter(
            "fleet_resyncs", "Complete lists of all resources", registry=self.registry
        )
        self._contained = Counter(
            "fleet_contained_failures",
            "Exceptions that nobody foresaw, by the part that they were contained in",
            ["part"],
            registry=self.registry,
        )
        self._stored = Gauge(
            "fleet_bucket_bytes", "What each bucket holds", ["bucket"], registry=self.registry
        )
        self._limits = Gauge(
            "fleet_bucket_max_bytes", "What it may hold", ["bucket"], registry=self.registry
        )
        self._orphans = Gauge(
            "fleet_orphans", "Keys that nobody is known to have ended", registry=self.registry
        )
        self._orphans_held = Gauge(
            "fleet_orphans_held",
            "Orphans that wait for an administrator's word",
            registry=self.registry,
        )

    def watch(self, store: Store, steps: Steps) -> None:
        """Have gauges read from *store* and *steps* whenever somebody asks."""
        self.registry.register(StoreCollector(store))
        self.registry.register(StepsCollector(steps))

    def watch_connection(
        self, unheard_for: Callable[[], float], faults: Callable[[], float]
    ) -> None:
        """Have the state of the connection to NATS read whenever somebody asks."""
        told = {
            "fleet_nats_unheard_seconds": ("Since when NATS has said nothing", unheard_for),
            "fleet_nats_faults": ("Unexpected errors of the connection to NATS", faults),
        }
        for name, (meaning, read) in told.items():
            Gauge(name, meaning, registry=self.registry).set_function(read)

    def render(self) -> bytes:
        """Render everything as Prometheus reads it."""
        return generate_latest(self.registry)

    def worked(self, queue: str, seconds: float) -> None:
        """Count one pass."""
        self._work.labels(queue).observe(seconds)

    def failed(self, queue: str, reason: str) -> None:
        """Count a pass that failed."""
        self._failures.labels(queue, reason).inc()

    def undecodable(self, bucket: str) -> None:
        """Count a value that doesn't decode."""
        self._undecodable.labels(bucket).inc()

    def time_replaced(self, bucket: str) -> None:
        """Count a message whose own time is not to be believed."""
        self._times_replaced.labels(bucket).inc()

    def swept(self, bucket: str) -> None:
        """Count a key that was purged as junk."""
        self._swept.labels(bucket).inc()

    def published(self, action: str) -> None:
        """Count a write to `desired-state`."""
        self._published.labels(action).inc()

    def wrote(self, what: str) -> None:
        """Count a write to the API server."""
        self._writes.labels(what).inc()

    def event(self, outcome: str) -> None:
        """Count an Event that was posted, left out for now, or lost."""
        self._events.labels(outcome).inc()

    def resynced(self) -> None:
        """Count a complete list."""
        self._resyncs.inc()

    def contained(self, part: str) -> None:
        """Count an exception that nobody foresaw."""
        self._contained.labels(part).inc()

    def stored(self, bucket: str, used: int, limit: int) -> None:
        """Say how full a bucket is."""
        self._stored.labels(bucket).set(used)
        self._limits.labels(bucket).set(limit)

    def orphans(self, count: int) -> None:
        """Say how many orphans there are."""
        self._orphans.set(count)

    def orphans_held(self, count: int) -> None:
        """Say how many orphans wait for a word."""
        self._orphans_held.set(count)


class StepsCollector(Collector):
    """Reads how evenly the event loop works when asked."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def collect(self) -> Iterator[Metric]:
        """Read it."""
        steps = self._steps
        yield GaugeMetricFamily(
            "fleet_loop_step_seconds_max",
            "The longest that the event loop was busy at a stretch",
            value=steps.worst,
        )
        yield GaugeMetricFamily(
            "fleet_loop_step_cpu_seconds_max",
            "The most processor time that one step of the event loop took",
            value=steps.worst_cpu,
        )
        yield CounterMetricFamily(
            "fleet_loop_long_steps", "Steps that took more than 0.1 s", value=steps.long
        )


class StoreCollector(Collector):
    """Reads gauges from the store when asked."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read them."""
        yield GaugeMetricFamily(
            "fleet_deployments", "Deployment resources", value=len(self._store.deployments)
        )
        devices = GaugeMetricFamily("fleet_devices", "Device objects", labels=["silent"])
        silent = len(self._store.silent)
        devices.add_metric(["true"], silent)
        devices.add_metric(["false"], len(self._store.devices) - silent)
        yield devices
