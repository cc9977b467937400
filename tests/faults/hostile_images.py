"""Image files that a dataset must refuse, and unusual image files that it may accept."""

import io
import struct
import zlib

from PIL import Image

from tests.faults.hostile_parquet import picture

ALLOWED = 25_000_000


def hostile():
    """Return names and contents of images that must be refused."""
    png = picture(size=64)
    jpeg, webp = picture(size=64, kind="JPEG"), picture(size=64, kind="WEBP")
    yield from (("empty", b""), ("zeros", bytes(1000)), ("a text", b"<html>not an image</html>"))
    for name, whole in (("PNG", png), ("JPEG", jpeg), ("WebP", webp)):
        yield f"{name}, magic number only", whole[:8]
        yield f"{name}, cut in the middle", whole[: len(whole) // 2]
    yield "PNG of 100,000 x 100,000 declared pixels", _declare_png(100_000, 100_000)
    yield "PNG of 2^31 x 1 declared pixels", _declare_png(2**31 - 1, 1)
    yield "PNG of 0 x 0 declared pixels", _declare_png(0, 0)
    yield "PNG of 36 MP of one colour", _one_colour(6000, 6000)
    yield "PNG, a stripe of 25 MP and one", _one_colour(ALLOWED + 1, 1)
    yield "JPEG of 65,535 x 65,535 declared pixels", _declare_jpeg(jpeg, 65_535, 65_535)
    yield "WebP of 16,384 x 16,384 declared pixels", _declare_webp(16_384, 16_384)
    yield "WebP of 2^24 x 2^24 declared pixels", _declare_webp(2**24, 2**24)
    for kind in ("GIF", "TIFF", "BMP", "ICO", "PPM", "TGA", "JPEG2000", "PCX", "PDF", "EPS", "DDS", "SGI"):
        yield f"{kind}, not allowed", picture(size=64, kind=kind)
    yield "GIF, animated", _animated("GIF", 5)
    yield "SVG that reads a file", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "PSD", b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3) + bytes(64)
    yield "PostScript that runs a program", b"%!PS\n(%pipe%touch /tmp/embedreel-canary) (r) file\nshowpage"
    yield "GIF that is a script", b"GIF89a/*" + bytes(8) + b"*/=alert(1)//;"
    yield "TIFF with a PNG behind it", b"II*\0\xff\xff\xff\x7f" + png
    yield "PNG, broken checksum", png[:-20] + bytes([png[-20] ^ 255]) + png[-19:]
    yield "PNG, text of 200 MB in 200 KB", _with_chunk(png, b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 << 20)))


def harmless():
    """Return names and contents of images that may be accepted: their sizes are within the limits."""
    png = picture(size=64)
    yield "PNG of 25 MP of one colour", _one_colour(5000, 5000)
    yield "PNG with 16 bits a channel", _saved(Image.new("I;16", (32, 32), 40_000), "PNG")
    yield "JPEG in CMYK", _saved(Image.new("CMYK", (32, 32), (1, 2, 3, 4)), "JPEG")
    yield "PNG with a palette", _saved(Image.new("P", (32, 32), 3), "PNG")
    yield "PNG of one bit", _saved(Image.new("1", (32, 32), 1), "PNG")
    yield "PNG with a ZIP behind it", png + b"PK\x05\x06" + bytes(18)
    yield "PNG with 5 MB of zeros behind it", png + bytes(5 << 20)
    yield "PNG, animated", _animated("PNG", 50)
    yield "PNG that declares 2^31 frames", _with_chunk(png, b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield "WebP, animated", _animated("WEBP", 50)
    yield "JPEG, EXIF data of 2^32 orientations", _with_exif(b"\x12\x01\x03\x00\xff\xff\xff\xff\x08\x00\x00\x00")
    yield "JPEG, EXIF data that points to itself", _with_exif(b"\x69\x87\x04\x00\x01\x00\x00\x00\x08\x00\x00\x00")
    yield (
        "PNG, colour profile of 100 MB in 100 KB",
        _with_chunk(png, b"iCCP", b"x\0\0" + zlib.compress(bytes(100 << 20))),
    )


def _declare_png(width, height):
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"")


def _one_colour(width, height):
    return _saved(Image.new("1", (width, height)), "PNG")


def _declare_jpeg(jpeg, width, height):
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def _declare_webp(width, height):
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frame = picture(size=16, kind="WEBP")[12:]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _animated(kind, frames):
    pictures = [Image.new("RGB", (32, 32), (index, 0, 0)) for index in range(frames)]
    return _saved(pictures[0], kind, save_all=True, append_images=pictures[1:], duration=20)


def _with_exif(entry):
    """Return a JPEG whose EXIF data have only this entry."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4)
    jpeg = picture(size=32, kind="JPEG")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def _with_chunk(png, name, content):
    """Return a PNG with one additional chunk after its header."""
    return png[:33] + _chunk(name, content) + png[33:]


def _chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
