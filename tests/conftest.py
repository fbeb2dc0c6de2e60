"""What holds for all tests."""

from __future__ import annotations

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # some tiers do without it
    pass
else:
    # Without a clock in any verdict: a busy machine makes no test fail.
    settings.register_profile("overspill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("overspill")
