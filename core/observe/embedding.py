"""The observer of embeddings: penultimate features, predictions, loss and accuracy of the probe images."""

from core.domain.arrays import Embedded
from core.learn.backbones import Backbone
from core.learn.embed import embed
from core.learn.pixels import ImagesOnDevice
from core.observe.observer import CheckpointFacts


class EmbeddingObserver:
    """Records the input of the classification head and the predictions of the head."""

    folder = "frame"
    kind = Embedded

    def observe(self, backbone: Backbone, probe: ImagesOnDevice, facts: CheckpointFacts) -> Embedded:
        """Make the frame of a checkpoint. The class probabilities are recorded at the last checkpoint only.

        Args:
            backbone: the live model, on the device of the probe images.
            probe: N images.
            facts: step, epoch, precision and penultimate features of the checkpoint.

        Returns:
            Embeddings (N, D) float32, predictions, confidences, loss and accuracy.

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
