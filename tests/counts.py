"""How much a test repeats: a bounded form for every change, full counts for a soak.

`STEPSCOPE_TEST_COUNTS=full` (set by `make soak`) asks for the full form.
"""

import os

from hypothesis import HealthCheck, settings

FULL = os.environ.get("STEPSCOPE_TEST_COUNTS", "bounded") == "full"

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

settings.register_profile("bounded", max_examples=40, deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.register_profile("full", max_examples=3000, deadline=None, print_blob=True, suppress_health_check=SLOW)


def counted(bounded: int, full: int) -> int:
    """Return how often, how many or how large: `bounded` in a normal run, `full` in a soak."""
    return full if FULL else bounded


def load_hypothesis_profile() -> None:
    """Make Hypothesis keep to the same choice."""
    settings.load_profile("full" if FULL else "bounded")
