import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.hub_dataset import MAX_LENGTH, HubDataset, canonical, pinned_as, read
from core.errors import InvalidSpecError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("dataset", "found"),
    [
        ("hub:a/b", HubDataset("a/b")),
        ("hub:a/b?", HubDataset("a/b")),
        ("hub:", HubDataset("")),
        ("hub:a/b?config=cats", HubDataset("a/b", config="cats")),
        ("hub:a/b?image=a%26b&label=species", HubDataset("a/b", image="a&b", label="species")),
        ("hub:a/b?label=two+words=%C3%BC", HubDataset("a/b", label="two words=ü")),
        ("hub:a/b?train=test&evaluation=train", HubDataset("a/b", train="test", evaluation="train")),
        ("hub:a/b?evaluation=0.2", HubDataset("a/b", share=0.2)),
        ("hub:a/b?evaluation=nan", HubDataset("a/b", evaluation="nan")),
        ("hub:a/b?evaluation=v1.0", HubDataset("a/b", evaluation="v1.0")),
    ],
)
def test_read(dataset, found):
    assert read(dataset) == found


@pytest.mark.parametrize("dataset", ["digits", "ds_1", "", "a/b?train=x", "digits?split=1"])
def test_read__not_of_the_hub(dataset):
    assert read(dataset) is None
    assert canonical(dataset) == pinned_as(dataset) == dataset


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "split=test",
            "'split' is not an option of a hub dataset; the options are config, evaluation, image, label, train",
        ),
        ("Train=test", "'Train' is not an option"),
        ("train=a&train=b", "train occurs twice"),
        ("train=a&train=a", "train occurs twice"),
        ("evaluation=", "evaluation is empty"),
        ("train", "'train' after the . cannot be parsed: write NAME=VALUE"),
        ("train=a&", "cannot be parsed"),
        ("&", "cannot be parsed"),
        ("label=%FF", "cannot be parsed"),
        ("evaluation=0", "evaluation is 0: name a split, or write a fraction between 0 and 1"),
        ("evaluation=1", "a fraction between 0 and 1"),
        ("evaluation=1.0", "a fraction between 0 and 1"),
        ("evaluation=-0.2", "a fraction between 0 and 1"),
        ("evaluation=1e999", "a fraction between 0 and 1"),
        ("evaluation=20", "a fraction between 0 and 1"),
        ("evaluation=train", "train and evaluation are both the split 'train'"),
        ("evaluation=a&train=a", "are both the split 'a'"),
        ("image=x&label=x", "image and label are both the column 'x'"),
    ],
)
def test_read__makes_no_sense(query, message):
    with pytest.raises(InvalidSpecError, match=message) as caught:
        read(f"hub:a/b?{query}")
    assert caught.value.field == "dataset"


@pytest.mark.parametrize(
    ("written", "one_form"),
    [
        ("hub:a/b?", "hub:a/b"),
        ("hub:a/b?train=train", "hub:a/b"),
        ("hub:a/b?train=x&evaluation=y&config=z", "hub:a/b?config=z&evaluation=y&train=x"),
        ("hub:a/b?evaluation=.20", "hub:a/b?evaluation=0.2"),
        ("hub:a/b?evaluation=2e-1&label=l", "hub:a/b?evaluation=0.2&label=l"),
        ("hub:a/b?label=two%20words", "hub:a/b?label=two+words"),
        ("hub:a/b?label=%6c", "hub:a/b?label=l"),
        ("hub:a/b?evaluation=validation", "hub:a/b?evaluation=validation"),
    ],
)
def test_canonical(written, one_form):
    assert canonical(written) == canonical(one_form) == one_form


@given(st.fixed_dictionaries({}, optional={"config": TEXTS, "image": TEXTS, "share": st.floats(1e-9, 0.999)}))
def test_canonical__parses_to_the_same_dataset(chosen):
    dataset = HubDataset("a/b", **chosen)
    assert read(str(dataset)) == dataset


def test_canonical__too_long():
    fits = "hub:a/b?label=" + "x" * (MAX_LENGTH - len("hub:a/b?label="))
    assert canonical(fits) == fits
    for written in (fits + "x", "hub:a/b?label=" + "ü" * 80):
        with pytest.raises(InvalidSpecError, match="characters, but at most 200 are allowed") as caught:
            canonical(written)
        assert caught.value.field == "dataset"


def test_pinned_as__one_commit_for_all_that_is_chosen():
    assert {pinned_as(name) for name in ("hub:a/b", "hub:a/b?config=x", "hub:a/b?train=y")} == {"hub:a/b"}
