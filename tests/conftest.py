"""Fixtures that every test may ask for."""

import os
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

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

# Where nothing is configured, structlog draws a failure with the source and the variables of every
# frame: half a second of CPU each, and tests let hundreds of things fail.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback


@pytest.fixture(scope="session", autouse=True)
def nobody_pulls_the_plug() -> Iterator[None]:
    """What a process has written outlives its kill, whether its disk has it or not: tests wait for
    no disk, ten milliseconds at each of their checkpoints. The processes of a run do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield
