import pytest

from core.data.names import DatasetKind, kind_of
from core.errors import UnknownDatasetError

ALLOWED = ("uoft-cs/cifar10",)


@pytest.mark.parametrize(
    ("dataset", "kind"),
    [
        ("digits", DatasetKind.BUILTIN),
        ("hub:uoft-cs/cifar10", DatasetKind.HUB),
        ("ds_01HXYZabc-9_", DatasetKind.UPLOAD),
    ],
)
def test_kind_of(dataset, kind):
    assert kind_of(dataset, allowed_hub=ALLOWED) is kind


@pytest.mark.parametrize(
    "dataset",
    ["", "digit", "hub:", "hub:someone/else", "uoft-cs/cifar10", "ds_", "ds_../../etc", "ds_a/b", "ds_a\n"],
)
def test_kind_of__unknown(dataset):
    with pytest.raises(UnknownDatasetError, match="Known here: digits, hub:uoft-cs/cifar10, and the ids") as caught:
        kind_of(dataset, allowed_hub=ALLOWED)
    assert caught.value.field == "dataset"
