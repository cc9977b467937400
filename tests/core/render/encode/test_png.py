import numpy as np
from PIL import Image

from core.draw.palette import build_palette
from core.render.encode.png import write_png


def test_write_png__decodes_to_the_frame(tmp_path) -> None:
    palette = build_palette(10, np.zeros((0, 1, 1, 3), dtype=np.uint8))
    frame = np.random.default_rng(0).integers(0, 255, (70, 90)).astype(np.uint8)
    path = tmp_path / "frame.png"
    write_png(path, frame, palette)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image.convert("RGB")), palette.colors[frame])
