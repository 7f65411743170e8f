"""What holds for every suite: limits of properties, how logs are configured, what may be left."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

# Elsewhere hypothesis fails an example that takes over 0.2 s, which a busy host makes of any.
settings.register_profile("fleet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fleet")


@pytest.fixture(autouse=True)
def logs_configured_as_before() -> Iterator[None]:
    """Undo what a test, or what it calls, configured: else the next ones don't see their logs."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(autouse=True, scope="session")
def no_link_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """See that no lab of a test's own directory leaves a bridge on the host."""
    yield
    ours = f"fleet-lab:{tmp_path_factory.getbasetemp()}/"
    left = [name for name, alias in _links() if alias.startswith(ours)]
    assert left == [], "a test leaves links of its labs on this host"


def _links() -> Iterator[tuple[str, str]]:
    for alias in Path("/sys/class/net").glob("*/ifalias"):
        try:
            yield alias.parent.name, alias.read_text()
        except OSError:  # it has gone since
            continue
