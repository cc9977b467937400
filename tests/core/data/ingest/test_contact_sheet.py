import numpy as np
import pytest
from PIL import Image

from core.data.ingest.contact_sheet import GAP, NAME_WIDTH, SHOWN_CLASSES, SHOWN_IMAGES, SIDE, ContactSheet, shortened
from core.data.ingest.inspect import convert
from core.data.ingest.opening import UploadedFile


def at(sheet, label, index):
    """Return the colour in the middle of a thumbnail."""
    return sheet.getpixel((NAME_WIDTH + index * (SIDE + GAP) + SIDE // 2, GAP + label * (SIDE + GAP) + SIDE // 2))


@pytest.fixture
def plain(encode_image):
    return lambda colour, size=(9, 5): encode_image(Image.new("RGB", size, colour))


def test_contact_sheet__the_first_of_each_class(plain):
    sheet = ContactSheet(["cat", "dog"])
    for index in range(20):
        sheet.add(index % 2, plain((index, 100, 0)), max_pixels=100)
    drawn = sheet.draw([(8, 2), (8, 2)])
    for index in range(SHOWN_IMAGES):
        assert at(drawn, 0, index) == (2 * index, 100, 0)
        assert at(drawn, 1, index) == (2 * index + 1, 100, 0)
    names = np.asarray(drawn)[:, :NAME_WIDTH]
    assert (names[: SIDE + GAP] < 128).any()
    assert (names[SIDE + GAP :] < 128).any()


def test_contact_sheet__class_without_images(plain):
    sheet = ContactSheet(["cat", "dog"])
    sheet.add(1, plain("red"), max_pixels=100)
    drawn = sheet.draw([(0, 0), (1, 0)])
    assert at(drawn, 0, 0) == (255, 255, 255)
    assert at(drawn, 1, 0) == (255, 0, 0)


def test_contact_sheet__many_classes(plain):
    names = [f"class {index}" for index in range(1000)]
    sheet = ContactSheet(names)
    for label in range(1000):
        sheet.add(label, plain("blue"), max_pixels=100)
    assert len(sheet.thumbnails) == SHOWN_CLASSES
    assert sheet.draw([(1, 0)] * 1000).height < (SHOWN_CLASSES + 1) * (SIDE + GAP)


def test_shortened():
    assert shortened("cat", 200) == "cat"
    assert shortened("a\nb\x1b", 200) == "a b"
    cut = shortened("w" * 300, 200)
    assert cut.endswith("w…")
    assert 10 < len(cut) < 40
    assert shortened("猫" * 100, 200).endswith("…")


def test_contact_sheet__is_stored_with_the_dataset(tmp_path, write_parquet, image_bytes, two_classes):
    table = write_parquet(tmp_path / "a", image_bytes, two_classes, class_names=("even", "odd"))
    convert([UploadedFile(table, "a.parquet")], tmp_path / "ds_1", max_pixels=100)
    with Image.open(tmp_path / "ds_1" / "contact_sheet.png") as drawn:
        assert at(drawn, 1, 2) == (5, 0, 7)
