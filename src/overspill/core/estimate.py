"""What is believed of a target's speed, learned from our own attempts.

Two lines are fitted per target, each starting from its prior and forgetting with time:

* TTFT of an attempt against the prefill tokens in flight there when it started (its own included);
* TPOT of an attempt against the requests running there when it ended.

A line and not a mean, because a target that is slow under load is not slow when idle. Old observations lose half their
weight every minute, so that a target which was slow once is believed in again without having to be probed.
"""

from __future__ import annotations

from overspill.core.types import LatencyPrior

_PRIOR_WEIGHT = 2.0
"""Observations that the prior is worth."""
_FORGET = 0.98
"""Weight that an observation keeps when the next one comes: a memory of about 50."""
_HALF_LIFE_S = 60.0
_FRESH_S = _HALF_LIFE_S / 6
"""What was observed within this is not discounted yet."""
_ROUNDING_S = 1e-3
"""An age decides, and a sum may say a digit sooner or later when it is reached: near it, the age is asked."""
_NEVER = float("inf")


class Line:
    """``y ≈ base + slope · x`` with both non-negative: exponentially forgetting least squares around a prior line.

    The prior enters as two pseudo-observations at ``x = 0`` and ``x = x_scale``, so the fit is never singular. It is
    fitted when it is asked, not when it learns: two answers may end before the next request comes.
    """

    __slots__ = ("_at", "_n", "_prior", "_stands_until", "_sx", "_sxx", "_sxy", "_sy", "base", "slope")

    def __init__(self, base: float, slope: float, x_scale: float) -> None:
        half = _PRIOR_WEIGHT / 2
        y_far = base + slope * x_scale
        self._prior = (
            _PRIOR_WEIGHT,
            half * x_scale,
            half * (base + y_far),
            half * x_scale * x_scale,
            half * x_scale * y_far,
        )
        self._n = self._sx = self._sy = self._sxx = self._sxy = 0.0
        self._at = 0.0
        self.base = base
        self.slope = slope
        """Both as they were when ``at`` was last asked."""
        self._stands_until = _NEVER
        """Until then the fit stays as it is; so it does for ever where nothing was observed."""

    def observe(self, x: float, y: float, now: float) -> None:
        """Learn that ``y`` was seen at ``x``."""
        keep = _FORGET * 0.5 ** ((now - self._at) / _HALF_LIFE_S) if self._n else 0.0
        self._n = self._n * keep + 1.0
        self._sx = self._sx * keep + x
        self._sy = self._sy * keep + y
        self._sxx = self._sxx * keep + x * x
        self._sxy = self._sxy * keep + x * y
        self._at = now
        self._stands_until = -_NEVER

    def at(self, x: float, now: float) -> float:
        """Predict ``y`` at ``x``; an unobserved target drifts back to its prior."""
        if now >= self._stands_until:
            self._renew(now)
        return self.base + self.slope * x

    def _renew(self, now: float) -> None:
        age_s = now - self._at
        if age_s >= _FRESH_S:
            self._fit(0.5 ** (age_s / _HALF_LIFE_S))
        elif self._stands_until == -_NEVER:
            self._fit(1.0)
            self._stands_until = self._at + _FRESH_S - _ROUNDING_S

    def _fit(self, weight: float) -> None:
        n0, sx0, sy0, sxx0, sxy0 = self._prior
        n = n0 + weight * self._n
        sx = sx0 + weight * self._sx
        sy = sy0 + weight * self._sy
        sxx = sxx0 + weight * self._sxx
        sxy = sxy0 + weight * self._sxy
        slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
        base = (sy - slope * sx) / n
        if slope < 0.0:
            slope, base = 0.0, sy / n
        elif base < 0.0:
            base, slope = 0.0, sxy / sxx
        self.base = base
        self.slope = slope


class Mean:
    """An exponentially forgetting mean around a prior."""

    __slots__ = ("_n", "_sum", "value")

    def __init__(self, prior: float) -> None:
        self._n = 1.0
        self._sum = prior
        self.value = prior

    def observe(self, y: float) -> None:
        """Learn one value."""
        self._n = self._n * _FORGET + 1.0
        self._sum = self._sum * _FORGET + y
        self.value = self._sum / self._n


class Speed:
    """The two lines of one target."""

    __slots__ = ("tpot", "ttft")

    def __init__(self, prior: LatencyPrior) -> None:
        self.ttft = Line(prior.ttft_base_s, prior.prefill_s_per_token, x_scale=1000.0)
        self.tpot = Line(prior.tpot_base_s, prior.tpot_s_per_running, x_scale=8.0)
