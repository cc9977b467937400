"""Selection of checkpoints among candidates, by the movement of the model between the candidates."""

import math
from collections.abc import Sequence

import numpy as np


class DriftSchedule:
    """Selects candidates so that the movement between any two successive selected candidates is about equal.

    The movement of a candidate is known only when training reaches the candidate, and a decision is final. So the
    schedule predicts the movement up to the last candidate. The prediction is m * ((D / d)^e - 1): m is the movement so
    far, d the expected drift so far, D the expected drift up to the last candidate. Expected drift is the sum of
    learning rates. The exponent e is fitted to the movement so far, with a prior. With n frames left before the last
    candidate, a candidate is selected when the movement since the last selected candidate reaches 1 / (n + 1) of the
    sum of this movement and the predicted movement. Since predictions can be wrong, a quarter of the frames is spread
    evenly over the candidates, whatever the movement.

    Attributes:
        movements: movement from each candidate to the next so far, see `core.measure.motion.movement`.
        selected: indices of the selected candidates, rising. The first and the last candidate are always selected.
    """

    # Values in these docstrings are measured by `python -m bench thresholds`: vit-tiny, resnet-tiny and convnext-mini,
    # in this order, on digits, 300 steps, 60 frames. Spread: standard deviation of the movements between frames,
    # divided by their mean. Evenly spaced frames have spreads of 0.77, 1.54 and 0.96.
    EVEN_FRACTION = 0.25
    """Fraction of the frames that is spread evenly. The spreads are 0.29, 1.04, 0.43 both at 0 and at 0.25, and 0.43,
    1.05, 0.49 at 0.5. So 0.25 is the largest measured fraction that does not raise the spread. A larger fraction would
    capture an unexpected late movement better."""
    EXPONENT = 0.5
    """Prior of the exponent e. 0.25 lowers the spread of the ResNet (0.76 instead of 1.04) and raises the spread of
    the ViT (0.38 instead of 0.29); 1 raises all spreads (0.41, 1.30, 0.63)."""
    PRIOR_CANDIDATES = 8
    """Number of candidates after which the fitted exponent has the same weight as EXPONENT. At 1 the spreads are 0.32,
    1.00, 0.46, and the longest movement of the ViT is 2.0 times the mean instead of 1.4. At 64 the spreads are 0.31,
    1.16, 0.39."""
    EXPONENTS = (0.1, 1.5)
    """Lower and upper bound of the fitted exponent, so that a fit to few candidates stays plausible. Chosen by hand:
    (0.25, 1) and (0.01, 4) change no spread by more than 0.01."""

    def __init__(self, drift: Sequence[float], frames: int, *, always: Sequence[int] = ()) -> None:
        """Start with len(drift) + 1 candidates; the first candidate is selected.

        Args:
            drift: expected drift between each candidate and the next, above 0, in any unit.
            frames: number of candidates to select, 2 to len(drift) + 1.
            always: indices of candidates that are selected whatever the movement.

        Raises:
            ValueError: there are fewer candidates than frames, or fewer frames than candidates that must be selected.
        """
        if not 2 <= frames <= len(drift) + 1:  # noqa: PLR2004 - the first and the last
            raise ValueError(f"{frames} frames cannot be selected from {len(drift) + 1} candidates")
        self._frames, self._always = frames, sorted({*always, len(drift)})
        if len({0, *self._always}) > frames:
            raise ValueError(f"{frames} frames are fewer than candidate 0 and the candidates {self._always} together")
        self._drift = np.concatenate([[0.0], np.cumsum(np.asarray(drift, dtype=np.float64))])
        self.movements: list[float] = []
        self.selected: list[int] = [0]

    def restore(self, movements: Sequence[float], selected: Sequence[int]) -> None:
        """Continue another schedule.

        Args:
            movements: the attribute `movements` of the other schedule.
            selected: the attribute `selected` of the other schedule.
        """
        self.movements, self.selected = [float(one) for one in movements], [int(one) for one in selected]

    def selects(self, movement: float) -> bool:
        """Decide whether the next candidate is selected.

        Args:
            movement: movement of the model since the previous candidate, at least 0.

        Returns:
            True if the candidate is selected.
        """
        self.movements.append(movement)
        chosen = self._selects()
        if chosen:
            self.selected.append(len(self.movements))
        return chosen

    def _selects(self) -> bool:
        now, last, n_selected = len(self.movements), len(self._drift) - 1, len(self.selected)
        if now in self._always:
            return True
        n_left = self._frames - 1 - n_selected  # without the last candidate
        reserved = sum(number > now for number in self._always[:-1])
        if n_left == reserved:
            return False
        if last - now <= n_left:
            return True
        even = self.EVEN_FRACTION * (self._frames - 1)
        if n_selected <= even * now / last:
            return True
        if n_selected > self._frames - 1 - even * (1 - now / last):
            return False
        since = sum(self.movements[self.selected[-1] :])
        return since > 0 and since * (n_left + 1) >= since + self._ahead()

    def _ahead(self) -> float:
        """Predict the movement from the current to the last candidate."""
        path = np.concatenate([[0.0], np.cumsum(self.movements)])
        drift = self._drift[: len(path)]
        here, so_far = float(drift[-1]), float(path[-1])
        half = float(np.interp(here / 2, drift, path))
        exponent, prior = self.EXPONENT, self.PRIOR_CANDIDATES / (self.PRIOR_CANDIDATES + len(self.movements))
        if so_far > 0:
            fitted = math.log2(so_far) - math.log2(half) if half > 0 else self.EXPONENTS[1]
            exponent = prior * exponent + (1 - prior) * float(np.clip(fitted, *self.EXPONENTS))
        return so_far * (math.pow(float(self._drift[-1]) / here, exponent) - 1)
