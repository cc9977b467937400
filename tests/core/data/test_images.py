import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from core.data import images
from core.errors import InvalidDatasetError


def pixels(encoded, **options):
    image = images.decode(encoded, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


def png_header(width, height):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(("file_format", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_decode__rgb_exact(gradient, encode_image, file_format, options):
    encoded = encode_image(Image.fromarray(gradient), file_format, **options)
    np.testing.assert_array_equal(pixels(encoded), gradient)
    assert images.measure(encoded) == (4, 6)


def test_decode__jpeg_close(encode_image):
    plain = np.full((16, 16, 3), (200, 40, 90), np.uint8)
    decoded = pixels(encode_image(Image.fromarray(plain), "JPEG", quality=95))
    assert np.abs(decoded.astype(int) - plain).max() <= 3


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_decode__grey(encode_image, file_format):
    grey = np.full((8, 8), 93, np.uint8)
    decoded = pixels(encode_image(Image.fromarray(grey), file_format))
    np.testing.assert_allclose(decoded, np.repeat(grey[..., None], 3, axis=-1), atol=1)


def test_decode__one_bit(encode_image):
    bits = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(pixels(encode_image(Image.fromarray(bits)))[..., 0], bits * 255)


def test_decode__sixteen_bits_scaled_by_their_range(encode_image):
    deep = np.array([[0, 257], [32896, 65535]], np.uint16)
    encoded = encode_image(Image.fromarray(deep))
    assert Image.open(io.BytesIO(encoded)).mode == "I;16"
    np.testing.assert_array_equal(pixels(encoded)[..., 1], [[0, 1], [128, 255]])


def test_to_rgb__thirty_two_bit_integers_as_sixteen():
    deep = Image.fromarray(np.array([[-5, 65535], [70000, 257]], np.int32))
    np.testing.assert_array_equal(np.asarray(images.to_rgb(deep))[..., 0], [[0, 255], [255, 1]])


@pytest.mark.parametrize(("file_format", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})])
def test_decode__transparency_on_white(encode_image, file_format, options):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = (0, 51, 255)
    decoded = pixels(encode_image(Image.fromarray(rgba), file_format, **options))
    np.testing.assert_allclose(decoded[0], [[255] * 3, [204] * 3, [0] * 3], atol=1)


def test_decode__grey_with_transparency(encode_image):
    grey_alpha = np.array([[[10, 0], [10, 255]]], np.uint8)
    np.testing.assert_array_equal(pixels(encode_image(Image.fromarray(grey_alpha)))[0, :, 0], [255, 10])


def paletted():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    return image


def test_decode__palette(encode_image):
    np.testing.assert_array_equal(pixels(encode_image(paletted()))[0], [[10, 20, 30], [40, 50, 60]])


def test_decode__palette_with_transparency(encode_image):
    encoded = encode_image(paletted(), transparency=0)
    np.testing.assert_array_equal(pixels(encoded)[0], [[255, 255, 255], [40, 50, 60]])


def test_decode__colour_key(encode_image):
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    encoded = encode_image(image, transparency=(1, 2, 3))
    np.testing.assert_array_equal(pixels(encoded)[0], [[255, 255, 255], [4, 5, 6]])


def test_decode__cmyk(encode_image):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    encoded = encode_image(image, "JPEG", quality=95)
    assert Image.open(io.BytesIO(encoded)).mode == "CMYK"
    np.testing.assert_allclose(pixels(encoded)[8, 8], [255, 0, 0], atol=4)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode__exif_orientation(gradient, encode_image, file_format, orientation):
    upright = np.asarray(Image.fromarray(gradient))
    stored = {  # what a camera in this orientation stores
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if file_format == "WEBP" else {}
    image = Image.fromarray(np.ascontiguousarray(stored))
    np.testing.assert_array_equal(pixels(encode_image(image, file_format, exif=exif, **options)), upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_decode__broken_exif_is_ignored(encode_image):
    encoded = encode_image(Image.new("RGB", (8, 8), "red"), "JPEG", exif=b"Exif\0\0II*\0nonsense")
    np.testing.assert_allclose(pixels(encoded), np.full((8, 8, 3), (255, 0, 0)), atol=2)  # JPEG rounds values


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_decode__animation_gives_its_first_frame(encode_image, file_format):
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    options = {"lossless": True} if file_format == "WEBP" else {}
    encoded = encode_image(first, file_format, save_all=True, append_images=[second], **options)
    np.testing.assert_array_equal(pixels(encoded)[0, 0], [255, 0, 0])


@pytest.mark.parametrize("file_format", ["GIF", "BMP", "TIFF"])
def test_decode__other_formats(encode_image, file_format):
    with pytest.raises(InvalidDatasetError, match="not a JPEG, PNG or WebP image"):
        images.decode(encode_image(Image.new("RGB", (4, 4)), file_format))


@pytest.mark.parametrize("read", [images.decode, images.measure])
def test_decode__no_image(read):
    with pytest.raises(InvalidDatasetError, match="not a JPEG, PNG or WebP"):
        read(b"these are no pixels")
    with pytest.raises(InvalidDatasetError, match="empty"):
        read(b"")


@pytest.mark.parametrize("read", [images.decode, images.measure])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_decode__cut_short(encode_image, read, file_format):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    encoded = encode_image(Image.fromarray(noise), file_format)
    with pytest.raises(InvalidDatasetError, match=r"broken or cut short|not a JPEG"):
        read(encoded[: len(encoded) // 2])


@pytest.mark.parametrize("read", [images.decode, images.measure])
def test_decode__too_many_pixels(encode_image, read):
    encoded = encode_image(Image.new("RGB", (11, 10)))
    with pytest.raises(InvalidDatasetError, match="11 x 10 pixels, more than the 100 allowed"):
        read(encoded, max_pixels=100)


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_decode__bomb_is_refused_by_its_header(side):
    with pytest.raises(InvalidDatasetError, match=r"more than the 25,000,000 allowed|more pixels than"):
        images.decode(png_header(side, side))


def test_decode__jpeg_at_a_fraction_of_its_size(encode_image):
    encoded = encode_image(Image.new("RGB", (640, 480), (10, 200, 30)), "JPEG")
    image = images.decode(encoded, at_least=50)
    assert image.size == (80, 60)
    np.testing.assert_allclose(images.to_square(image, 50)[25, 25], [10, 200, 30], atol=3)


def test_to_square__same_size_keeps_values():
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(images.to_square(Image.fromarray(values), 8), values)


@pytest.mark.parametrize(("width", "height"), [(12, 4), (4, 12), (5, 4)])
def test_to_square__keeps_the_centre(width, height):
    values = np.zeros((height, width, 3), np.uint8)
    values[height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2] = 250
    square = images.to_square(Image.fromarray(values), 4)
    assert square.shape == (4, 4, 3)
    assert square.dtype == np.uint8
    if (width, height) != (5, 4):
        np.testing.assert_array_equal(square, 250)


@pytest.mark.parametrize("size", [1, 3, 32])
def test_to_square__a_uniform_image_stays_uniform(size):
    np.testing.assert_array_equal(images.to_square(Image.new("RGB", (9, 7), (1, 2, 3)), size)[0, 0], [1, 2, 3])


def test_squares__order_and_the_row_at_fault(image_bytes):
    several = images.squares(image_bytes, [5, 2, 5], size=8)
    assert several.shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(several[:, 0, 0, 0], [5, 2, 5])
    with pytest.raises(InvalidDatasetError, match="The image in row 1 cannot be used: empty"):
        images.squares([image_bytes[0], b""], [0, 1], size=8)


def test_decode__colours_that_cannot_be_converted(encode_image, monkeypatch):
    def fails(image):
        raise ValueError("palette")

    monkeypatch.setattr("core.data.images.to_rgb", fails)
    with pytest.raises(InvalidDatasetError, match=r"colours cannot be converted \(palette\)"):
        images.decode(encode_image(Image.new("RGB", (2, 2))))
