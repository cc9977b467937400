"""A small dataset with known faults, as a ZIP for an upload. The bytes are the same in every call."""

import io
import zipfile

import numpy as np
from PIL import Image, ImageDraw

SIDE = 32
"""Side length of an image, pixels."""

CLASSES = {"circle": (200, 80, 60), "square": (60, 100, 200)}
"""Colour of the shape of each class, RGB."""

TRAIN, EVALUATION = 60, 30
"""Number of images of each class in the splits `train` and `val`."""


def shapes_zip():
    """Return a ZIP of class folders: a coloured circle or square on a noisy background in each image.

    The ZIP has one faulty file of each kind that an upload reports or a run finds: a square in the folder of the
    circles, an evaluation image that is also a training image, an image that cannot be decoded, and a text file.
    """
    rng = np.random.default_rng(0)
    files = {}
    for split, count in (("train", TRAIN), ("val", EVALUATION)):
        for name in CLASSES:
            for index in range(count):
                files[f"{split}/{name}/{index:03d}.png"] = _image(name, rng)
    files["val/circle/999.png"] = _image("square", rng)
    files["val/square/999.png"] = files["train/square/000.png"]
    files["train/circle/broken.png"] = files["train/circle/000.png"][:100]
    files["README.txt"] = b"Circles and squares."
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, date_time=(2026, 1, 1, 0, 0, 0)), content)
    return packed.getvalue()


def _image(name, rng):
    """Return a PNG with the shape of a class at a random place."""
    image = Image.fromarray(rng.integers(200, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    left, top = rng.integers(2, SIDE // 2 - 2, 2)
    corners = (left, top, left + SIDE // 2, top + SIDE // 2)
    draw = ImageDraw.Draw(image)
    (draw.ellipse if name == "circle" else draw.rectangle)(corners, fill=CLASSES[name])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
