"""Random augmentation of training images."""

from typing import Annotated

from pydantic import Field

from core.domain.frozen import Frozen


class AugmentSpec(Frozen):
    """Random augmentation of training images. Each use of an image draws new numbers. Probe images stay unchanged."""

    flip: Annotated[float, Field(ge=0, le=1, description="Probability of a horizontal flip.")] = 0.0
    rotate: Annotated[float, Field(ge=0, le=180, description="Largest rotation in either direction, degrees.")] = 0.0
    shear: Annotated[
        float, Field(ge=0, le=45, description="Largest horizontal shear in either direction, degrees.")
    ] = 0.0
    crop: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Smallest fraction of the area that a random crop keeps; the crop has an aspect ratio of 3:4 "
            "to 4:3 and is scaled to the input size; 1: off.",
        ),
    ] = 1.0
    brightness: Annotated[float, Field(ge=0, le=1, description="x: a factor from 1 - x to 1 + x.")] = 0.0
    contrast: Annotated[float, Field(ge=0, le=1, description="x: a factor from 1 - x to 1 + x.")] = 0.0
    saturation: Annotated[float, Field(ge=0, le=1, description="x: a factor from 1 - x to 1 + x.")] = 0.0
    hue: Annotated[
        float, Field(ge=0, le=0.5, description="Largest rotation of the hue in either direction, turns.")
    ] = 0.0
    mixup: Annotated[
        float,
        Field(
            ge=0,
            le=10,
            description="a: an image and its label are mixed with another image and its label; the weight is drawn "
            "from Beta(a, a); 0: off.",
        ),
    ] = 0.0

    @property
    def moves(self) -> bool:
        """True if an augmentation moves pixels."""
        return self.flip > 0 or self.rotate > 0 or self.shear > 0 or self.crop < 1

    @property
    def recolours(self) -> bool:
        """True if an augmentation changes colours."""
        return self.brightness > 0 or self.contrast > 0 or self.saturation > 0 or self.hue > 0

    @property
    def active(self) -> bool:
        """True if any augmentation is on."""
        return self.moves or self.recolours or self.mixup > 0
