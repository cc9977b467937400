"""VGG16 with batch normalisation, which transformers lacks.

Its layers have the names that torchvision gave them, so torchvision's published weights fit as they are:
`features.0.weight` to `classifier.6.weight`, from safetensors or from the .pth file itself.

References:
    Simonyan and Zisserman, Very Deep Convolutional Networks, arXiv:1409.1556, configuration D.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

_CONVOLUTIONS = (2, 2, 3, 3, 3)
_POOLED_SIDE = 7


class VGG16BNConfig(PreTrainedConfig):  # type: ignore[misc]
    """The widths of the network, of which config.json need not say anything: the defaults are the published ones.

    Attributes:
        num_channels: of the input.
        widths: channels of the five groups of convolutions.
        hidden_size: of the two hidden layers of the classifier.
        dropout: after each of them, in training.
        initializer_range: standard deviation of new weights; torchvision's 0.01 for linear layers.
    """

    model_type = "vgg16_bn"

    num_channels: int = 3
    widths: list[int] | tuple[int, ...] = (64, 128, 256, 512, 512)
    hidden_size: int = 4096
    dropout: float = 0.5
    initializer_range: float = 0.01


class VGG16BNForImageClassification(PreTrainedModel):  # type: ignore[misc]
    """Thirteen convolutions in five groups, two hidden layers, a linear head."""

    config_class = VGG16BNConfig
    main_input_name = "pixel_values"
    # BatchNorm did not count its batches yet when the weights were published.
    _keys_to_ignore_on_load_missing = (r"\.num_batches_tracked$",)

    def __init__(self, config: VGG16BNConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.features = _features(config)
        self.avgpool = nn.AdaptiveAvgPool2d(_POOLED_SIDE)
        self.classifier = nn.Sequential(
            nn.Linear(config.widths[-1] * _POOLED_SIDE**2, config.hidden_size),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden_size, config.hidden_size),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden_size, config.num_labels),
        )
        self.post_init()

    def forward(self, pixel_values: Tensor) -> ImageClassifierOutputWithNoAttention:
        """(B, 3, S, S) normalised, S at least 32 -> logits (B, C)."""
        pooled = self.avgpool(self.features(pixel_values))
        return ImageClassifierOutputWithNoAttention(logits=self.classifier(pooled.flatten(1)))


def published_weights(path: Path) -> dict[str, Tensor]:
    """The weights in torchvision's own file.

    Only tensors are read from it: an object of any other kind is refused before it is made.

    Raises:
        pickle.UnpicklingError: there is something else in it.
    """
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _features(config: VGG16BNConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = config.num_channels
    for width, convolutions in zip(config.widths, _CONVOLUTIONS, strict=True):
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)
