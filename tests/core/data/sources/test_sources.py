import pytest

from core.data.names import DatasetKind, kind_of
from core.errors import InvalidSpecError, UnknownDatasetError

ALLOWED = ("uoft-cs/cifar10",)


@pytest.mark.parametrize(
    ("dataset", "kind"),
    [
        ("digits", DatasetKind.BUILTIN),
        ("hub:uoft-cs/cifar10", DatasetKind.HUB),
        ("hub:uoft-cs/cifar10?config=plain_text&evaluation=0.1", DatasetKind.HUB),
        ("ds_01HXYZabc-9_", DatasetKind.UPLOAD),
    ],
)
def test_kind_of(dataset, kind):
    assert kind_of(dataset, allowed_hub=ALLOWED) is kind


@pytest.mark.parametrize(
    "dataset",
    [
        *("", "digit", "hub:", "hub:someone/else", "uoft-cs/cifar10", "ds_", "ds_../../etc", "ds_a/b", "ds_a\n"),
        *("hub:someone/else?config=x", "hub:uoft-cs/cifar10%3Fconfig=x", "digits?train=x", "ds_1?label=x"),
    ],
)
def test_kind_of__unknown(dataset):
    with pytest.raises(UnknownDatasetError, match="Known here: digits, hub:uoft-cs/cifar10, and the ids") as caught:
        kind_of(dataset, allowed_hub=ALLOWED)
    assert caught.value.field == "dataset"


def test_kind_of__choices_that_make_no_sense():
    with pytest.raises(InvalidSpecError, match="'split' cannot be chosen"):
        kind_of("hub:uoft-cs/cifar10?split=test", allowed_hub=ALLOWED)
