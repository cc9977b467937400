"""The first observer: embeddings, predictions, loss and accuracy of the probe images."""

from core.domain.arrays import Embedded
from core.learn.backbones import Backbone
from core.learn.embed import embed
from core.learn.pixels import ImagesOnDevice
from core.observe.observer import CheckpointFacts


class EmbeddingObserver:
    """Records what the classification head is given and what it makes of it."""

    folder = "frame"
    kind = Embedded

    def observe(self, backbone: Backbone, probe: ImagesOnDevice, facts: CheckpointFacts) -> Embedded:
        """The frame of a checkpoint; the probabilities of all classes are recorded at the last one only.

        Raises:
            DegenerateEmbeddingsError: a feature is NaN or infinite.
        """
        return embed(
            backbone,
            probe,
            step=facts.step,
            epoch=facts.epoch,
            precision=facts.precision,
            features=facts.features,
            probabilities=facts.is_last,
        )


OBSERVER = EmbeddingObserver()
