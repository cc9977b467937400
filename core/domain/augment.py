"""How training images are changed at random."""

from typing import Annotated

from pydantic import Field

from core.domain.frozen import Frozen


class AugmentSpec(Frozen):
    """How training images are changed at random, each anew whenever it is taken; what is embedded never is."""

    flip: Annotated[float, Field(ge=0, le=1, description="Probability of left and right being exchanged.")] = 0.0
    rotate: Annotated[float, Field(ge=0, le=180, description="Degrees at most, either way.")] = 0.0
    shear: Annotated[
        float, Field(ge=0, le=45, description="Degrees at most, either way, by which upright lines lean.")
    ] = 0.0
    crop: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Least share of the area that is kept and enlarged to the whole, between 3:4 and 4:3; 1: off.",
        ),
    ] = 1.0
    brightness: Annotated[float, Field(ge=0, le=1, description="x: a factor from 1 - x to 1 + x.")] = 0.0
    contrast: Annotated[float, Field(ge=0, le=1, description="x: a factor from 1 - x to 1 + x.")] = 0.0
    saturation: Annotated[float, Field(ge=0, le=1, description="x: a factor from 1 - x to 1 + x.")] = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5, description="Turns at most, either way.")] = 0.0
    mixup: Annotated[
        float,
        Field(
            ge=0,
            le=10,
            description="a: an image and its label are mixed with another one's, by a share of Beta(a, a); 0: off.",
        ),
    ] = 0.0

    @property
    def moves(self) -> bool:
        """Whether pixels change their places."""
        return self.flip > 0 or self.rotate > 0 or self.shear > 0 or self.crop < 1

    @property
    def recolours(self) -> bool:
        """Whether pixels change their colours."""
        return self.brightness > 0 or self.contrast > 0 or self.saturation > 0 or self.hue > 0

    @property
    def active(self) -> bool:
        """Whether any image is changed."""
        return self.moves or self.recolours or self.mixup > 0
