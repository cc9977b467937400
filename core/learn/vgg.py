"""VGG16 with batch normalisation, which transformers lacks.

The layers have torchvision's names, `features.0` to `classifier.6`. So torchvision's published weights can be loaded
without conversion, from safetensors or from torchvision's .pth file.

References:
    Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv:1409.1556,
        configuration D.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

_CONVOLUTIONS = (2, 2, 3, 3, 3)
_POOLED_SIDE = 7


class VGG16BNConfig(PreTrainedConfig):  # type: ignore[misc]
    """The sizes of the network. The defaults are the published sizes, so config.json may omit them.

    Attributes:
        num_channels: channels of the input.
        widths: channels of the five groups of convolutions.
        hidden_size: units of each of the two hidden layers of the classifier.
        dropout: probability of dropout after each hidden layer.
        initializer_range: standard deviation of new weights; 0.01 is torchvision's value for linear layers.
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
    # The published weights are older than BatchNorm's counter of batches.
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
        """Compute the logits.

        Args:
            pixel_values: (B, 3, S, S) float32, normalised; S is at least 32.

        Returns:
            Logits (B, C).
        """
        pooled = self.avgpool(self.features(pixel_values))
        return ImageClassifierOutputWithNoAttention(logits=self.classifier(pooled.flatten(1)))


def published_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights from torchvision's .pth file.

    Only tensors are unpickled; any other object is refused before it is constructed.

    Args:
        path: the .pth file.

    Returns:
        The tensors by name, on the CPU.

    Raises:
        pickle.UnpicklingError: the file contains another object than tensors.
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
