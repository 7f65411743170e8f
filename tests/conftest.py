"""What holds for every suite: no example of a property is judged by how long it took."""

from hypothesis import HealthCheck, settings

# Elsewhere hypothesis fails an example that takes over 0.2 s, which a busy host makes of any.
settings.register_profile("fleet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fleet")
