"""Which of some candidate checkpoints are captured, from how far the model has moved between them."""

import math
from collections.abc import Sequence

import numpy as np


class DriftSchedule:
    """Selects candidates so that the model moves about as far between any two selected ones.

    It learns a candidate's movement only when training has come there, and never takes a choice back. So it predicts
    the movement that is left: movement so far is taken to grow as a power of the expected drift (the sum of learning
    rates), with an exponent fitted to what was seen. A candidate is selected when the movement since the last selected
    one reaches an equal part of what is left. Predictions fail, so a quarter of the frames is spread evenly over the
    candidates, however little moves.

    Attributes:
        movements: how far the model moved from each candidate to the next, so far; see `core.measure.motion`.
        selected: the numbers of the selected candidates; the first and the last are always among them.
    """

    # The values below are measured by `python -m bench thresholds`: three presets on digits, 300 steps, 60 frames. The
    # spread is the standard deviation of the movements between frames by their mean; evenly spaced frames have a
    # spread of 0.77 (vit-tiny), 1.54 (resnet-tiny) and 0.96 (convnext-mini).
    EVEN_FRACTION = 0.25
    """Of the frames, spread evenly. It is free up to 0.25 (0.29, 1.04, 0.43, as with 0) and costs at 0.5 (0.43, 1.05,
    0.49). So 0.25 is the largest value that is free; more would film a late surprise better."""
    EXPONENT = 0.5
    """Of movement by expected drift, before there is movement to fit it to. 0.25 suits a ResNet better (0.76 instead of
    1.04) and a ViT worse (0.38 instead of 0.29); 1 is worse for all (0.41, 1.30, 0.63)."""
    PRIOR_CANDIDATES = 8
    """Candidates after which the fit counts as much as EXPONENT. With 1 the spread is 0.32, 1.00, 0.46 and the longest
    movement of the ViT 2.0 times the mean instead of 1.4; with 64 it is 0.31, 1.16, 0.39."""
    EXPONENTS = (0.1, 1.5)
    """Bounds of the fit. A choice: they only keep a fit to few candidates from predicting nonsense. (0.25, 1) and
    (0.01, 4) change no spread by more than 0.01."""

    def __init__(self, drift: Sequence[float], frames: int, *, always: Sequence[int] = ()) -> None:
        """Decide on len(drift) + 1 candidates, the first of which is selected.

        Args:
            drift: expected between each candidate and the next, above 0, in any unit.
            frames: how many to select, 2 to len(drift) + 1.
            always: numbers of candidates that are selected whatever moves.

        Raises:
            ValueError: there are fewer candidates than frames, or more candidates to select always.
        """
        if not 2 <= frames <= len(drift) + 1:  # noqa: PLR2004 - the first and the last
            raise ValueError(f"{frames} of {len(drift) + 1} candidates cannot be chosen")
        self._frames, self._always = frames, sorted({*always, len(drift)})
        if len({0, *self._always}) > frames:
            raise ValueError(f"{frames} frames are too few for {self._always} and the first")
        self._drift = np.concatenate([[0.0], np.cumsum(np.asarray(drift, dtype=np.float64))])
        self.movements: list[float] = []
        self.selected: list[int] = [0]

    def restore(self, movements: Sequence[float], selected: Sequence[int]) -> None:
        """Continue where another schedule was that had these attributes."""
        self.movements, self.selected = [float(one) for one in movements], [int(one) for one in selected]

    def selects(self, movement: float) -> bool:
        """Whether the next candidate is selected.

        Args:
            movement: how far the model has moved since the candidate before, at least 0.
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
        n_left = self._frames - 1 - n_selected  # without the last candidate's
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
        """Predicted movement from here to the last candidate."""
        path = np.concatenate([[0.0], np.cumsum(self.movements)])
        drift = self._drift[: len(path)]
        here, so_far = float(drift[-1]), float(path[-1])
        half = float(np.interp(here / 2, drift, path))
        exponent, prior = self.EXPONENT, self.PRIOR_CANDIDATES / (self.PRIOR_CANDIDATES + len(self.movements))
        if so_far > 0:
            fitted = math.log2(so_far) - math.log2(half) if half > 0 else self.EXPONENTS[1]
            exponent = prior * exponent + (1 - prior) * float(np.clip(fitted, *self.EXPONENTS))
        return so_far * (math.pow(float(self._drift[-1]) / here, exponent) - 1)
