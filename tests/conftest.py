"""What holds for every suite: time limits of properties, and how logs are configured."""

from collections.abc import Iterator

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
