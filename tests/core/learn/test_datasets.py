import datasets
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from core.data.ingest.inspect import convert
from core.data.ingest.opening import UploadedFile
from core.data.sources.builtin import BUILTIN, DIGITS_IMAGE_SIZE
from core.data.sources.hub import open_hub_dataset
from core.data.uploaded import UploadedSource
from core.domain.hub_dataset import HubDataset
from core.errors import InvalidDatasetError, InvalidSpecError, SourceUnavailableError, UnknownDatasetError
from core.learn.datasets import (
    load_probe_set,
    load_training_images,
    open_source,
    training_rows,
)

ALLOWED = ("owner/name",)
NAMED = HubDataset("owner/name")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _no_progress_bars():
    datasets.disable_progress_bars()


def table(n, *, first=0, features=None, **columns):
    """A dataset of uniform 8 x 8 images. The colour is the number of the row, and the label is its parity."""
    numbers = range(first, first + n)
    values = {
        "image": [Image.new("RGB", (8, 8), (number, 0, 0)) for number in numbers],
        "label": [number % 2 for number in numbers],
    } | columns
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["even", "odd"])} | (features or {})
    return datasets.Dataset.from_dict(values, features=datasets.Features(kinds))


def open_digits():
    return open_source("digits", uploaded=None, allowed_hub=())


@pytest.fixture
def hub(tmp_path):
    """A fake hub with one dataset, a local folder of Parquet files."""
    folder = tmp_path / "hub"
    folder.mkdir()

    def publish(readme=None, **splits):
        if readme:
            (folder / "README.md").write_text(readme)
        for name, dataset in splits.items():
            dataset.to_parquet(folder / f"{name}-00000-of-00001.parquet")

        def load_builder(path, name=None, revision=None):
            assert path == "owner/name"
            builder = datasets.load_dataset_builder(str(folder), name, cache_dir=tmp_path / "cache")
            builder.hash = revision or COMMIT
            return builder

        return load_builder

    return publish


@pytest.fixture
def uploaded(tmp_path):
    table(20).to_parquet(tmp_path / "a.parquet")
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    convert([UploadedFile(tmp_path / "a.parquet", "a.parquet")], uploads / "ds_1", max_pixels=100)
    return uploads / "ds_1"


def test_digits__constants_match_scikit_learn():
    bunch, facts = load_digits(), BUILTIN["digits"]
    assert facts.class_names == tuple(str(name) for name in bunch.target_names)
    assert facts.train_size + facts.evaluation_size == len(bunch.target)
    assert bunch.images.shape[1:] == (DIGITS_IMAGE_SIZE, DIGITS_IMAGE_SIZE)
    source = open_digits()
    assert (len(source.labels("train")), len(source.labels("evaluation"))) == (797, 1000)


def test_digits__each_once_with_its_label():
    bunch, source = load_digits(), open_digits()
    seen = []
    for split in ("train", "evaluation"):
        labels = source.labels(split)
        values = source.images(split, np.arange(len(labels)), size=8)
        assert (values[..., 0] == values[..., 2]).all()
        seen += [(*digit.ravel().tolist(), label) for digit, label in zip(values[..., 0], labels.tolist(), strict=True)]
    scaled = np.rint(bunch.images * 255 / 16).astype(int)
    expected = [(*digit.ravel().tolist(), label) for digit, label in zip(scaled, bunch.target.tolist(), strict=True)]
    assert sorted(seen) == sorted(expected)
    assert max(max(row[:-1]) for row in seen) == 255


def test_digits__split_keeps_class_shares_and_never_changes():
    source = open_digits()
    shares = np.bincount(load_digits().target) * 1000 / 1797
    assert (np.abs(np.bincount(source.labels("evaluation")) - shares) < 1).all()
    assert source.labels("evaluation")[:20].tolist() == [2, 5, 8, 2, 3, 5, 7, 9, 0, 1, 3, 4, 5, 6, 8, 9, 5, 0, 9, 8]


def test_digits__order_size_and_none():
    source = open_digits()
    images = source.images("train", np.array([3, 1, 3]), size=32)
    assert (images.shape, images.dtype) == ((3, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(images[0], images[2])
    assert source.images("train", np.array([], np.int64), size=4).shape == (0, 4, 4, 3)


def test_open_source__digits(tmp_path):
    source = open_source("digits", uploaded=None, allowed_hub=(), expected_digest="digits-v1")
    assert source.facts == BUILTIN["digits"]
    assert source.image_size == DIGITS_IMAGE_SIZE


def test_open_source__upload(uploaded):
    source = open_source("ds_1", uploaded=uploaded, allowed_hub=())
    assert isinstance(source, UploadedSource)
    assert source.facts.class_names == ("even", "odd")
    again = open_source("ds_1", uploaded=uploaded, allowed_hub=(), expected_digest=source.facts.digest)
    np.testing.assert_array_equal(again.labels("train"), source.labels("train"))


@pytest.mark.parametrize("dataset", ["ds_2", "ds_../uploads/ds_1", "hub:other/name", "mnist"])
def test_open_source__unknown(dataset):
    with pytest.raises(UnknownDatasetError, match="Known here: digits, hub:owner/name, and the ids"):
        open_source(dataset, uploaded=None, allowed_hub=ALLOWED)


@pytest.mark.parametrize("dataset", ["digits", "ds_1"])
def test_open_source__no_longer_the_same(uploaded, dataset):
    with pytest.raises(SourceUnavailableError, match=f"{dataset} has changed since this run was accepted"):
        open_source(dataset, uploaded=uploaded, allowed_hub=(), expected_digest="0" * 64)


@pytest.mark.parametrize(
    ("expected", "revision"),
    [
        (None, None),
        ("newest", None),
        ("hub:owner/name@unresolved", None),
        ("f" * 40, "f" * 40),
        (f"hub:owner/name@{'f' * 40}", "f" * 40),
    ],
)
def test_open_source__hub_commit_is_required_once_known(hub, tmp_path, monkeypatch, expected, revision):
    asked = []
    load_builder = hub(train=table(20), test=table(6))
    monkeypatch.setattr(datasets, "load_dataset_builder", _recorder(asked, load_builder, datasets.load_dataset_builder))
    source = open_source("hub:owner/name", uploaded=None, allowed_hub=ALLOWED, expected_digest=expected)
    assert asked == [revision]
    assert source.facts.digest == (revision or COMMIT)


def _recorder(asked, load_builder, real):
    def load(path, name=None, revision=None, **options):
        if path != "owner/name":
            return real(path, name, **options)
        asked.append(revision)
        return load_builder(path, name, revision=revision)

    return load


def test_open_source__hub_answers_with_another_commit(hub, tmp_path, monkeypatch):
    stale = hub(train=table(20), test=table(6))
    real = datasets.load_dataset_builder

    def load(path, name=None, revision=None, **options):
        return stale(path) if path == "owner/name" else real(path, name, **options)

    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    with pytest.raises(SourceUnavailableError, match=f"its digest was {'f' * 40}, and is now {COMMIT}"):
        open_source("hub:owner/name", uploaded=None, allowed_hub=ALLOWED, expected_digest="f" * 40)


def test_hub__splits_columns_and_pixels(hub):
    builder = hub(train=table(20), test=table(6, first=30))
    source = open_hub_dataset(NAMED, load_builder=builder)
    assert source.facts.model_dump() == {
        "digest": COMMIT,
        "class_names": ("even", "odd"),
        "train_size": 20,
        "evaluation_size": 6,
    }
    assert source.image_size == 8
    assert source.labels("train").tolist() == [0, 1] * 10
    assert source.images("evaluation", np.array([5, 0]), size=8)[:, 0, 0, 0].tolist() == [35, 30]


def test_hub__validation_before_test(hub):
    builder = hub(train=table(20), validation=table(4, first=40), test=table(6, first=30))
    source = open_hub_dataset(NAMED, load_builder=builder)
    assert source.facts.evaluation_size == 4
    assert source.images("evaluation", np.array([0]), size=8)[0, 0, 0, 0] == 40


def test_hub__only_train_is_split_by_row(hub):
    source = open_hub_dataset(NAMED, load_builder=hub(train=table(20)))
    assert (source.facts.train_size, source.facts.evaluation_size) == (16, 4)
    seen = [
        source.images(split, np.arange(size), size=8)[:, 0, 0, 0] for split, size in (("train", 16), ("evaluation", 4))
    ]
    assert sorted(np.concatenate(seen).tolist()) == list(range(20))
    np.testing.assert_array_equal(source.labels("evaluation"), seen[1] % 2)


def test_hub__no_train_split(hub):
    with pytest.raises(InvalidDatasetError, match=r"hub:owner/name has no split 'train' \(found: test\): choose"):
        open_hub_dataset(NAMED, load_builder=hub(test=table(6)))


@pytest.mark.parametrize(
    ("chosen", "train", "evaluation"),
    [
        ({"evaluation": "test"}, range(20), range(30, 36)),
        ({"train": "test", "evaluation": "train"}, range(30, 36), range(20)),
        ({"train": "validation"}, range(40, 44), range(30, 36)),
        ({"train": "test"}, range(30, 36), range(40, 44)),
    ],
)
def test_hub__requested_splits(hub, chosen, train, evaluation):
    builder = hub(train=table(20), validation=table(4, first=40), test=table(6, first=30))
    source = open_hub_dataset(HubDataset("owner/name", **chosen), load_builder=builder)
    for split, numbers in (("train", train), ("evaluation", evaluation)):
        labels = source.labels(split)
        assert labels.tolist() == [number % 2 for number in numbers]
        assert source.images(split, np.arange(len(labels)), size=8)[:, 0, 0, 0].tolist() == list(numbers)


@pytest.mark.parametrize(("share", "held_out"), [(0.2, 4), (0.5, 10), (0.05, 2)])
def test_hub__a_fraction_is_held_out_despite_other_splits(hub, share, held_out):
    builder = hub(train=table(20), validation=table(4, first=40), test=table(6, first=30))
    source = open_hub_dataset(HubDataset("owner/name", share=share), load_builder=builder)
    assert (source.facts.train_size, source.facts.evaluation_size) == (20 - held_out, held_out)
    assert np.bincount(source.labels("evaluation")).tolist() == [held_out // 2] * 2
    seen = [source.images(split, np.arange(len(source.labels(split))), size=8) for split in ("train", "evaluation")]
    assert sorted(np.concatenate(seen)[:, 0, 0, 0].tolist()) == list(range(20))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"train": "training"}, r"hub:owner/name\?train=training has no split 'training' \(found: train, test\)"),
        ({"evaluation": "dev"}, r"hub:owner/name\?evaluation=dev has no split 'dev' \(found: train, test\)"),
        ({"label": "species"}, "has no column 'species' that could be the label. Possible columns: 'label', 'parity'"),
        ({"image": "label"}, "has no column 'label' that could be the image. Possible columns: 'image'"),
    ],
)
def test_hub__requested_split_that_does_not_exist(hub, chosen, message):
    kinds = {"parity": datasets.Value("string")}
    splits = {
        name: table(n, parity=["even", "odd"] * (n // 2), features=kinds) for name, n in (("train", 20), ("test", 6))
    }
    builder = hub(**splits)
    with pytest.raises(InvalidDatasetError, match=message):
        open_hub_dataset(HubDataset("owner/name", **chosen), load_builder=builder)


def test_hub__requested_columns(hub):
    more = {"size": ["s", "m", "l", "m"] * 5, "thumbnail": [Image.new("RGB", (8, 8), (9, 0, 0))] * 20}
    kinds = {"size": datasets.Value("string"), "thumbnail": datasets.Image()}
    builder = hub(train=table(20, features=kinds, **more))
    source = open_hub_dataset(HubDataset("owner/name", image="thumbnail", label="size"), load_builder=builder)
    assert source.facts.class_names == ("l", "m", "s")
    assert set(source.images("train", np.arange(4), size=8)[:, 0, 0, 0].tolist()) == {9}


def test_hub__several_label_columns_say_how_to_choose(hub):
    coarse = {"coarse": datasets.ClassLabel(names=["a", "b"]), "label": datasets.Value("float32")}
    two = table(20, features=coarse | {"fine": datasets.ClassLabel(names=["a", "b"])}, coarse=[0] * 20, fine=[1] * 20)
    with pytest.raises(InvalidDatasetError, match=r"\('coarse', 'fine'\): choose one with the option \?label=…"):
        open_hub_dataset(NAMED, load_builder=hub(train=two))


CONFIGURED = """---
configs:
- config_name: cats
  data_files: train-*
- config_name: dogs
  data_files: test-*
---
"""


def test_hub__configuration(hub):
    builder = hub(readme=CONFIGURED, train=table(20), test=table(10, first=30))
    source = open_hub_dataset(HubDataset("owner/name", config="dogs"), load_builder=builder)
    assert (source.facts.train_size, source.facts.evaluation_size) == (8, 2)
    assert source.images("train", np.array([0]), size=8)[0, 0, 0, 0] >= 30


@pytest.mark.parametrize("config", [None, "birds"])
def test_hub__no_such_configuration(hub, config):
    builder = hub(readme=CONFIGURED, train=table(20), test=table(10))
    with pytest.raises(SourceUnavailableError, match=r"(?s)vailable.*\['cats', 'dogs'\].*the option \?config=…"):
        open_hub_dataset(HubDataset("owner/name", config=config), load_builder=builder)


def test_open_source__hub_with_choices(hub, tmp_path, monkeypatch):
    asked, load_builder = [], hub(train=table(20), test=table(6, first=30))
    monkeypatch.setattr(datasets, "load_dataset_builder", _recorder(asked, load_builder, datasets.load_dataset_builder))
    dataset = "hub:owner/name?evaluation=0.1"
    source = open_source(dataset, uploaded=None, allowed_hub=ALLOWED, expected_digest="f" * 40)
    assert asked == ["f" * 40]
    assert source.facts.evaluation_size == 2


def test_hub__no_image_column(hub):
    without = table(20).remove_columns("image")
    with pytest.raises(InvalidDatasetError, match="hub:owner/name has no image column"):
        open_hub_dataset(NAMED, load_builder=hub(train=without))


def test_hub__unlabelled_split(hub):
    unlabelled = table(4, label=[-1] * 4)
    with pytest.raises(InvalidDatasetError, match="hub:owner/name, split test: column 'label' has 2 class names"):
        open_hub_dataset(NAMED, load_builder=hub(train=table(20), test=unlabelled))


def test_hub__broken_image_names_dataset_and_row(hub):
    broken = table(20).cast_column("image", datasets.Image(decode=False))
    raw = broken.to_dict()
    raw["image"][7]["bytes"] = b"nothing"
    source = open_hub_dataset(
        NAMED, load_builder=hub(train=datasets.Dataset.from_dict(raw, broken.features), test=table(6))
    )
    with pytest.raises(InvalidDatasetError, match="hub:owner/name: The image in row 7 cannot be used: not a JPEG"):
        source.images("train", np.array([1, 7]), size=8)


def test_hub__cannot_be_reached():
    def load_builder(path, name=None, revision=None):
        raise ConnectionError("no route to host")

    with pytest.raises(SourceUnavailableError, match=r"hub \(ConnectionError: no route to host\)\. Check.*or upload"):
        open_hub_dataset(NAMED, load_builder=load_builder)


def test_load_training_images(uploaded):
    source = open_source("ds_1", uploaded=uploaded, allowed_hub=())
    whole = load_training_images(source, train_size=None, size=8, seed=0)
    assert whole.images.shape == (16, 8, 8, 3)
    np.testing.assert_array_equal(whole.images[:, 0, 0, 0] % 2, whole.labels)
    some = load_training_images(source, train_size=6, size=5, seed=1)
    assert some.images.shape == (6, 5, 5, 3)
    assert np.bincount(some.labels).tolist() == [3, 3]
    for size, loaded in ((None, whole), (6, some)):
        rows = training_rows(source, train_size=size, seed=1)
        np.testing.assert_array_equal(loaded.labels, source.labels("train")[rows])
        side = loaded.images.shape[1]
        np.testing.assert_array_equal(loaded.images, source.images("train", rows, size=side))


def test_load_probe_set():
    source = open_digits()
    probe = load_probe_set(source, probe_size=100, size=8, seed=4)
    assert probe.images.shape == (100, 8, 8, 3)
    assert probe.class_names == tuple("0123456789")
    assert np.bincount(probe.labels).min() >= 9
    np.testing.assert_array_equal(probe.labels, source.labels("evaluation")[probe.rows])
    np.testing.assert_array_equal(probe.images, source.images("evaluation", probe.rows, size=8))
    again = load_probe_set(source, probe_size=100, size=8, seed=4)
    np.testing.assert_array_equal(probe.rows, again.rows)


def test_load__more_than_there_are():
    source = open_digits()
    with pytest.raises(InvalidSpecError, match="797 images: ask for at most 797") as caught:
        load_training_images(source, train_size=798, size=8, seed=0)
    assert caught.value.field == "train.train_size"
    with pytest.raises(InvalidSpecError, match="1,001, but the evaluation split has 1,000 images") as caught:
        load_probe_set(source, probe_size=1001, size=8, seed=0)
    assert caught.value.field == "capture.probe_size"


def test_load__more_than_memory_holds():
    source = open_digits()
    with pytest.raises(InvalidSpecError, match=r"set train\.train_size to at most 696") as caught:
        load_training_images(source, train_size=None, size=224, seed=0, max_bytes=100 << 20)
    assert caught.value.field == "train.train_size"
    with pytest.raises(InvalidSpecError, match=r"set capture\.probe_size to at most 696"):
        load_probe_set(source, probe_size=1000, size=224, seed=0, max_bytes=100 << 20)
