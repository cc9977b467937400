import itertools
import struct
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.draw.palette import TRANSPARENT, Palette, build_palette
from core.render.encode.gif import GifWriter, fill_gaps

HEIGHT, WIDTH = 70, 90


def write_gif(path: Path, frames: Iterable[np.ndarray], palette: Palette, *, fps: int, hold_seconds: float = 2) -> int:
    """Write the frames and return their number."""
    with GifWriter(path, palette, fps=fps, hold_seconds=hold_seconds) as writer:
        for frame in frames:
            writer.add(frame)
    return writer.count


@pytest.fixture(scope="module")
def palette() -> Palette:
    return build_palette(10, np.zeros((0, 1, 1, 3), dtype=np.uint8))


def moving(count: int, *, side: int = HEIGHT) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    background = rng.integers(0, TRANSPARENT, (side, side + WIDTH - HEIGHT)).astype(np.uint8)
    for index in range(count):
        frame = background.copy()
        frame[10:20, index % 5 : index % 5 + 10] = index % TRANSPARENT
        frame[40 + index % 7, 30] = 5
        yield frame


def decoded(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        frames = []
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")))
        return frames


def blocks(data: bytes) -> tuple[bool, list[int], list[bool], int | None]:
    """Read the blocks of a GIF: its global table, the delay and local table of each frame, and the loop count."""
    has_global = bool(data[10] & 0x80) and data[10] & 7 == 7
    at, delays, local, loop = 13 + 768, [], [], None
    while data[at] != 0x3B:
        if data[at] == 0x21:
            if data[at + 1] == 0xF9:
                delays.append(struct.unpack_from("<H", data, at + 4)[0])
            if data[at + 1] == 0xFF:
                assert data[at + 3 : at + 14] == b"NETSCAPE2.0"
                loop = struct.unpack_from("<H", data, at + 16)[0]
            at += 2
        else:
            assert data[at] == 0x2C
            local.append(bool(data[at + 9] & 0x80))
            at += 11
        while data[at]:
            at += data[at] + 1
        at += 1
    assert at == len(data) - 1
    return has_global, delays, local, loop


def test_write_gif__decodes_to_the_frames_that_went_in(tmp_path: Path, palette: Palette) -> None:
    path = tmp_path / "film.gif"
    assert write_gif(path, moving(12), palette, fps=10) == 12
    for got, frame in zip(decoded(path), moving(12), strict=True):
        assert np.array_equal(got, palette.colors[frame])


@pytest.mark.parametrize("length", [1, 2, 3, 8, 31, 32])
def test_fill_gaps__only_the_short_ones_between_marks(length: int) -> None:
    rng = np.random.default_rng(length)
    for _ in range(50):
        marks = rng.random(rng.integers(1, 40, 2)) < rng.choice([0.0, 0.02, 0.1, 0.4])
        expected = marks.ravel().copy()
        at = np.flatnonzero(expected)
        for one, following in itertools.pairwise(at):
            if following - one - 1 < length:
                expected[one:following] = True
        assert (fill_gaps(marks, length).ravel() == expected).all()


def test_write_gif__short_unchanged_runs_do_not_split_a_changed_run(tmp_path: Path, palette: Palette) -> None:
    """Dense dots that move a little: the file is smaller than with every unchanged pixel transparent."""
    rng, frames = np.random.default_rng(0), [np.zeros((200, 200), np.uint8) for _ in range(2)]
    for number, (top, left) in enumerate(rng.integers(0, 190, (600, 2))):
        for frame, (down, right) in zip(frames, ((0, 0), rng.integers(-2, 3, 2)), strict=True):
            y, x = max(0, top + down), max(0, left + right)
            frame[y : y + 7, x : x + 7] = 20 + number % 10
            frame[y + 1 : y + 6, x + 1 : x + 6] = 1 + number % 10
    path = tmp_path / "film.gif"
    write_gif(path, frames, palette, fps=10)
    least = np.where(frames[0] != frames[1], frames[1], np.uint8(TRANSPARENT))
    assert path.stat().st_size - len_of_first(path) < 0.95 * len(Image.fromarray(least).tobytes("gif", "L", 8, 0))
    assert np.array_equal(decoded(path)[1], palette.colors[frames[1]])


def len_of_first(path: Path) -> int:
    """Return the number of bytes before the control block of the second image."""
    data = path.read_bytes()
    return data.index(b"\x21\xf9\x04", data.index(b"\x21\xf9\x04") + 4)


def test_write_gif__one_global_palette_no_local_ones_and_an_endless_loop(tmp_path: Path, palette: Palette) -> None:
    path = tmp_path / "film.gif"
    write_gif(path, moving(6), palette, fps=10)
    data = path.read_bytes()
    has_global, _, local, loop = blocks(data)
    assert has_global
    assert data[13 : 13 + 768] == palette.colors.tobytes()
    assert local == [False] * 6
    assert loop == 0


@pytest.mark.parametrize("fps", [1, 7, 12, 30, 50])
def test_write_gif__delays_are_at_least_20_ms_add_up_and_the_last_frame_is_held(
    tmp_path: Path, palette: Palette, fps: int
) -> None:
    path = tmp_path / "film.gif"
    write_gif(path, moving(13), palette, fps=fps, hold_seconds=2.0)
    _, delays, _, _ = blocks(path.read_bytes())
    assert len(delays) == 13
    assert min(delays) >= 2
    assert delays[-1] == 200
    assert sum(delays[:-1]) == pytest.approx(12 * 100 / fps, abs=0.5)
    assert max(delays[:-1]) - min(delays[:-1]) <= 1


def test_write_gif__a_short_hold_is_never_shorter_than_a_frame(tmp_path: Path, palette: Palette) -> None:
    path = tmp_path / "film.gif"
    write_gif(path, moving(2), palette, fps=2, hold_seconds=0.0)
    assert blocks(path.read_bytes())[1] == [50, 50]


def test_write_gif__frames_that_repeat_are_kept(tmp_path: Path, palette: Palette) -> None:
    frame = next(moving(1))
    path = tmp_path / "film.gif"
    assert write_gif(path, [frame] * 5, palette, fps=10) == 5
    _, delays, _, _ = blocks(path.read_bytes())
    assert delays == [10, 10, 10, 10, 200]
    assert all(np.array_equal(got, palette.colors[frame]) for got in decoded(path))
    assert len(decoded(path)) == 5


def test_write_gif__a_still_film_costs_little_more_than_its_first_frame(tmp_path: Path, palette: Palette) -> None:
    frame = next(moving(1))
    sizes = []
    for count in (1, 21):
        path = tmp_path / f"{count}.gif"
        write_gif(path, [frame] * count, palette, fps=10)
        sizes.append(path.stat().st_size)
    assert sizes[1] - sizes[0] < 20 * 40


def test_write_gif__two_small_changes_far_apart_do_not_store_the_area_between(tmp_path: Path, palette: Palette) -> None:
    before = next(moving(1, side=200))
    after = before.copy()
    after[0, 0], after[-1, -1] = (before[0, 0] + 1) % TRANSPARENT, (before[-1, -1] + 1) % TRANSPARENT
    for name, frames in (("one", [before]), ("two", [before, after])):
        write_gif(tmp_path / name, frames, palette, fps=10)
    assert np.array_equal(decoded(tmp_path / "two")[1], palette.colors[after])
    assert (tmp_path / "two").stat().st_size < (tmp_path / "one").stat().st_size * 1.05


def test_write_gif__memory_does_not_grow_with_the_number_of_frames(tmp_path: Path, palette: Palette) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        write_gif(tmp_path / "film.gif", moving(count, side=200), palette, fps=10)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(3)
    few, many = peak(20), peak(80)
    assert many < few + 2 * 200 * 220, "less than two frames more for sixty frames more"


def test_write_gif__refuses_an_empty_film(tmp_path: Path, palette: Palette) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        write_gif(tmp_path / "film.gif", [], palette, fps=10)


def test_write_gif__refuses_frames_of_two_shapes(tmp_path: Path, palette: Palette) -> None:
    frames = [np.zeros((4, 5), dtype=np.uint8), np.zeros((5, 4), dtype=np.uint8)]
    with pytest.raises(ValueError, match="cannot share a film"):
        write_gif(tmp_path / "film.gif", frames, palette, fps=10)


@pytest.mark.parametrize("fps", [0, 51])
def test_write_gif__refuses_a_rate_that_no_viewer_plays(tmp_path: Path, palette: Palette, fps: int) -> None:
    with pytest.raises(ValueError, match="plays 1 to 50"):
        write_gif(tmp_path / "film.gif", moving(2), palette, fps=fps)
