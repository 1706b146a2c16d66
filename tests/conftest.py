"""Fixtures that every test may ask for."""

import os

import hypothesis

pytest_plugins = ["tests.servers"]

# A change is judged by the same examples each time, so that no landing fails by chance; `make fuzz`
# looks for others.
EXAMPLES = os.environ.get("FRESHET_EXAMPLES")

# Kernels compile in a test's first example, and machines that run tests are shared: time says
# nothing about a property.
hypothesis.settings.register_profile(
    "freshet",
    deadline=None,
    derandomize=EXAMPLES is None,
    max_examples=int(EXAMPLES or 100),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("freshet")
