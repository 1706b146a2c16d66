"""Fixtures that every test may ask for."""

import os

import hypothesis

pytest_plugins = ["tests.servers"]

# Kernels compile in a test's first example, and machines that run tests are shared: time says nothing about a property.
hypothesis.settings.register_profile(
    "freshet",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("freshet")
