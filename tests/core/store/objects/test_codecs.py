import numpy as np
import pytest

from core.domain.arrays import Embedded, ProbeSet
from core.store.objects import codecs


def test_codecs__a_record_is_loaded_unchanged(tmp_path):
    probe = ProbeSet(
        images=np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3),
        labels=np.array([0, 1]),
        rows=np.array([7, 5]),
        class_names=("猫", "dog"),
    )
    codecs.save(tmp_path / "probe", probe)
    back = codecs.load(tmp_path / "probe", ProbeSet)
    assert back.class_names == probe.class_names
    for name in ("images", "labels", "rows"):
        np.testing.assert_array_equal(getattr(back, name), getattr(probe, name))
        assert isinstance(getattr(back, name), np.memmap)


def test_load_array__only_requested_fields(tmp_path):
    frame = Embedded(
        np.ones((2, 3), np.float32),
        np.array([0, 1]),
        step=3,
        epoch=0.5,
        loss=1.0,
        accuracy=1.0,
        confidences=np.ones(2, np.float32),
    )
    codecs.save(tmp_path, frame)
    (tmp_path / "predictions.npy").unlink()
    array = codecs.load_array(tmp_path, "embeddings")
    np.testing.assert_array_equal(array, frame.embeddings)
    assert isinstance(array, np.memmap)
    with pytest.raises(FileNotFoundError):
        codecs.load_array(tmp_path, "predictions")


def test_numbers_keep_their_kind(tmp_path):
    embedded = Embedded(
        np.ones((2, 3), np.float32),
        np.array([0, 1]),
        step=3,
        epoch=0.5,
        loss=float("nan"),
        accuracy=1.0,
        confidences=np.ones(2, np.float32),
    )
    codecs.save(tmp_path, embedded)
    back = codecs.load(tmp_path, Embedded)
    assert (back.step, back.epoch, back.accuracy) == (3, 0.5, 1.0)
    assert np.isnan(back.loss)


def test_load__refuses_pickled_objects(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        codecs.save(tmp_path, ProbeSet(np.array([object()]), np.zeros(1), np.zeros(1), ("a",)))


def test_a_missing_record(tmp_path):
    with pytest.raises(FileNotFoundError):
        codecs.load(tmp_path, ProbeSet)
