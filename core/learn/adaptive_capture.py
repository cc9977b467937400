"""Which checkpoints are captured where the model itself decides: those between which it has moved about as far.

A few images of the evaluation split, the sentinels, are embedded at every candidate step; how far they have moved, and
nothing else, decides whether the probe set is embedded there. Neither the weights nor anything drawn at random depends
on it, so the training is the same one with any spacing.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from core.domain.arrays import FloatArray
from core.domain.spec import TrainSpec
from core.errors import UnusableStateError
from core.learn.backbones import Backbone
from core.learn.embed import embed
from core.learn.pixels import ImagesOnDevice
from core.measure.motion import movement

_FILE = "pacer.safetensors"
_FEWEST, _SHARE = 64, 50


def n_sentinels(probe_size: int) -> int:
    """How many images are watched: 64, one in 50 of a large probe set, no more than a small one has.

    >>> n_sentinels(20), n_sentinels(1000), n_sentinels(10_000)
    (20, 64, 200)
    """
    return min(probe_size, max(_FEWEST, probe_size // _SHARE))


class Sentinels:
    """Tells how far the live model has moved between two looks at a few images; chooses by it what is captured."""

    def __init__(
        self,
        backbone: Backbone,
        images: ImagesOnDevice,
        *,
        candidates: Sequence[int],
        always: Sequence[int] = (),
        frames: int,
        spec: TrainSpec,
        accelerator: Accelerator,
    ) -> None:
        """Look at the model at some steps, and choose `frames` of them.

        Args:
            backbone: the model that is trained.
            images: the sentinels, on its device.
            candidates: rising steps, the first 0.
            always: those of them that are chosen however little moves.
            frames: how many to choose, 2 to len(candidates), and enough for those.
            spec: how the model learns.
            accelerator: with several processes all look, and all do as the main one says.
        """
        self._backbone, self._images, self._spec, self._accelerator = backbone, images, spec, accelerator
        efforts = spec.efforts()
        self._pacer = Pacer(
            [sum(efforts[before:after]) for before, after in pairwise(candidates)],
            frames,
            always=[candidates.index(step) for step in always],
        )
        self._seen: FloatArray | None = None

    @property
    def n_captured(self) -> int:
        """How many steps were chosen so far; one before the first look."""
        return len(self._pacer.captured)

    def takes(self, step: int) -> bool:
        """Whether this step, the next of the candidates, is captured. Every process asks."""
        before, self._seen = self._seen, self._look(step)
        if before is None:
            return True
        moved = movement(before, self._seen)
        if self._accelerator.num_processes > 1:
            moved = float(broadcast(torch.tensor(moved, dtype=torch.float64, device=self._images.device)))
        return self._pacer.takes(moved)

    def _look(self, step: int) -> FloatArray:
        return embed(self._backbone, self._images, step=step, epoch=0.0, precision=self._spec.precision).embeddings

    def save(self, folder: Path) -> None:
        """Write all that the choice depends on into the folder of a training's state."""
        if self._seen is not None:
            moved, captured = np.array(self._pacer.moved, dtype=np.float64), np.array(self._pacer.captured)
            save_file({"seen": self._seen, "moved": moved, "captured": captured}, folder / _FILE)

    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            UnusableStateError: it is not there, or broken.
        """
        try:
            stored = load_file(folder / _FILE)
            self._seen = stored["seen"]
            self._pacer.restore(stored["moved"].tolist(), stored["captured"].tolist())
        except (OSError, SafetensorError, KeyError) as error:
            raise UnusableStateError(
                f"{folder} does not say which checkpoints were captured ({error}): train from the beginning"
            ) from error


class Pacer:
    """Chooses which of some candidate checkpoints are captured, so that the model moves about as far between any two.

    It learns of each candidate's movement only when training has come there, and what it chose stays chosen. So it
    foresees the way that is left: the way so far grows as a power of the sum of learning rates, whose exponent is read
    off the way so far. A candidate is captured when the way since the last capture has come to an equal part of what
    is left. Foresight fails: a quarter of the captures is kept for later and spread evenly, however little moves.

    Attributes:
        moved: (n,) what it was told so far: how far the model moved from each candidate to the next.
        captured: which candidates it chose, by their number; the first and the last always.
    """

    EVEN_SHARE = 0.25
    EXPONENT = 0.5
    """Of the way by the sum of rates, before there is a way to read it off: much moves early."""
    DOUBT = 8
    """Candidates after which the way so far has as much say as EXPONENT."""
    EXPONENTS = (0.1, 1.5)

    def __init__(self, rates: Sequence[float], frames: int, *, always: Sequence[int] = ()) -> None:
        """Be asked about len(rates) + 1 candidates, the first of which is captured.

        Args:
            rates: sum of the learning rates between each candidate and the next, above 0.
            frames: how many to choose, 2 to len(rates) + 1.
            always: candidates that are chosen whatever moves, by their number.
        """
        if not 2 <= frames <= len(rates) + 1:  # noqa: PLR2004 - the first and the last
            raise ValueError(f"{frames} of {len(rates) + 1} candidates cannot be chosen")
        self._frames, self._always = frames, sorted({*always, len(rates)})
        if len({0, *self._always}) > frames:
            raise ValueError(f"{frames} frames are too few for {self._always} and the first")
        self._effort = np.concatenate([[0.0], np.cumsum(np.asarray(rates, dtype=np.float64))])
        self.moved: list[float] = []
        self.captured: list[int] = [0]

    def restore(self, moved: Sequence[float], captured: Sequence[int]) -> None:
        """Be where another pacer was that said this of itself."""
        self.moved, self.captured = [float(one) for one in moved], [int(one) for one in captured]

    def takes(self, moved: float) -> bool:
        """Whether the next candidate is captured.

        Args:
            moved: how far the model has moved since the candidate before, at least 0.
        """
        self.moved.append(moved)
        taken = self._takes()
        if taken:
            self.captured.append(len(self.moved))
        return taken

    def _takes(self) -> bool:
        now, last, taken = len(self.moved), len(self._effort) - 1, len(self.captured)
        if now in self._always:
            return True
        before_last = self._frames - 1 - taken
        kept = sum(number > now for number in self._always[:-1])
        if before_last == kept:
            return False
        if last - now <= before_last:
            return True
        even = self.EVEN_SHARE * (self._frames - 1)
        if taken <= even * now / last:
            return True
        if taken > self._frames - 1 - even * (1 - now / last):
            return False
        since = sum(self.moved[self.captured[-1] :])
        return since > 0 and since * (before_last + 1) >= since + self._ahead()

    def _ahead(self) -> float:
        """How far the model will move from here to the end, so far as can be said."""
        way = np.concatenate([[0.0], np.cumsum(self.moved)])
        efforts = self._effort[: len(way)]
        here, so_far = float(efforts[-1]), float(way[-1])
        half = float(np.interp(here / 2, efforts, way))
        exponent, doubt = self.EXPONENT, self.DOUBT / (self.DOUBT + len(self.moved))
        if so_far > 0:
            read = math.log2(so_far) - math.log2(half) if half > 0 else self.EXPONENTS[1]
            exponent = doubt * exponent + (1 - doubt) * float(np.clip(read, *self.EXPONENTS))
        return so_far * (math.pow(float(self._effort[-1]) / here, exponent) - 1)
