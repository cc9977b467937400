import base64
import io

import numpy as np
import pytest
from PIL import Image

from core.draw.thumbnails import data_uri


@pytest.mark.parametrize(("side", "shown"), [(8, 8), (64, 64), (65, 64), (224, 64)])
def test_data_uri__is_a_png(side: int, shown: int) -> None:
    image = np.full((side, side, 3), (250, 120, 3), np.uint8)
    head, _, body = data_uri(image).partition(",")
    assert head == "data:image/png;base64"
    drawn = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
    assert (drawn.format, drawn.mode, drawn.size) == ("PNG", "RGB", (shown, shown))
    assert drawn.getpixel((shown // 2, shown // 2)) == (250, 120, 3)
