import pkgutil

import pytest

from core.data import sources
from core.data.sources import SOURCES, canonical, pinned_as, source_of
from core.data.sources.catalog import ResolvedDataset
from core.errors import InvalidSpecError, UnknownDatasetError

ALLOWED = ("uoft-cs/cifar10",)
EXAMPLES = {"digits": "builtin", "hub:uoft-cs/cifar10": "hub", "ds_01HXYZabc-9_": "upload"}
"""A name of each source, and its kind."""

SHARED = {"catalog", "opened"}


class Nothing:
    """The `Catalog` of a service without uploads, before the first download."""

    allowed_hub = ALLOWED

    def pinned_revision(self, _source):
        return None

    def uploads(self):
        return []

    def upload(self, dataset_id):
        return ResolvedDataset(None, "stored", dataset_id)


def test_sources__a_module_each_and_no_module_without_a_line():
    assert {module.name for module in pkgutil.iter_modules(sources.__path__)} - SHARED == SOURCES.keys()
    assert set(EXAMPLES.values()) == SOURCES.keys()


def test_sources__each_name_is_of_one_source():
    for dataset, kind in EXAMPLES.items():
        assert [source.KIND for source in SOURCES.values() if source.is_named(dataset, allowed_hub=ALLOWED)] == [kind]


def test_sources__each_listed_one_is_named_and_resolved():
    for source in SOURCES.values():
        listed = [known.id for known in source.every(Nothing())]
        assert all(source.is_named(dataset, allowed_hub=ALLOWED) for dataset in listed)
        assert [name for name in source.known_names(allowed_hub=ALLOWED) if "ids" not in name] == listed
        for dataset in [name for name, kind in EXAMPLES.items() if kind == source.KIND]:
            assert source.resolve(dataset, Nothing()).digest


def test_sources__names_have_one_form_and_those_with_revisions_are_pinned_by_it():
    assert [canonical(dataset) for dataset in EXAMPLES] == list(EXAMPLES)
    assert canonical("hub:a/b?train=train&label=x") == "hub:a/b?label=x"
    assert [pinned_as(dataset) for dataset in EXAMPLES] == [None, "hub:uoft-cs/cifar10", None]
    assert pinned_as("hub:a/b?label=x") == "hub:a/b"


@pytest.mark.parametrize(
    ("dataset", "kind"),
    [*EXAMPLES.items(), ("hub:uoft-cs/cifar10?config=plain_text&evaluation=0.1", "hub")],
)
def test_source_of(dataset, kind):
    assert kind == source_of(dataset, allowed_hub=ALLOWED).KIND


@pytest.mark.parametrize(
    "dataset",
    [
        *("", "digit", "hub:", "hub:someone/else", "uoft-cs/cifar10", "ds_", "ds_../../etc", "ds_a/b", "ds_a\n"),
        *("hub:someone/else?config=x", "hub:uoft-cs/cifar10%3Fconfig=x", "digits?train=x", "ds_1?label=x"),
    ],
)
def test_source_of__unknown(dataset):
    with pytest.raises(UnknownDatasetError, match="Known here: digits, hub:uoft-cs/cifar10, and the ids") as caught:
        source_of(dataset, allowed_hub=ALLOWED)
    assert caught.value.field == "dataset"


def test_source_of__choices_that_make_no_sense():
    with pytest.raises(InvalidSpecError, match="'split' is not an option"):
        source_of("hub:uoft-cs/cifar10?split=test", allowed_hub=ALLOWED)
