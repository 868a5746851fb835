"""What holds for every test."""

import os

from hypothesis import HealthCheck, settings

# The suite tries the same examples each time: whether a commit is good must not be a matter of luck.
# EXPLORE=1 tries new ones; what it finds becomes an @example.
# No deadline: a busy machine is not a mistake.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("suite", derandomize=True, **_PATIENT)
settings.register_profile("explore", max_examples=1000, **_PATIENT)
settings.load_profile("explore" if os.environ.get("EXPLORE") else "suite")
