"""Names that a run may use for its dataset and its model."""

import pytest

from core.store.queries import datasets


def test_submit__unknown_dataset_lists_what_there_is(idle, problem):
    body = problem(idle.post("/v1/runs", json={"dataset": "x"}), 422, "unknown-dataset", "dataset")
    assert "digits, hub:uoft-cs/cifar10" in body["detail"]


def test_submit__hub_dataset_and_model_are_pinned_once_known(client, process):
    body = {"dataset": "hub:uoft-cs/cifar10", "model": "google/vit-base-patch16-224-in21k"}
    first = client.post("/v1/runs", json=body).json()
    assert first["name"] == "uoft-cs/cifar10, google/vit-base-patch16-224-in21k"
    assert first["spec"]["pinned"] == {
        "dataset_digest": "hub:uoft-cs/cifar10@unresolved",
        "model_revision": None,
    }
    with process.database.writing() as session:
        datasets.pin_revision(session, "hub:uoft-cs/cifar10", "abc")
        datasets.pin_revision(session, "google/vit-base-patch16-224-in21k", "def")
    pinned = client.post("/v1/runs", json=body).json()["spec"]["pinned"]
    assert pinned == {"dataset_digest": "hub:uoft-cs/cifar10@abc", "model_revision": "def"}


def test_submit__options_of_a_hub_dataset(client, process):
    asked = {"dataset": "hub:uoft-cs/cifar10?train=train&label=label&evaluation=.10"}
    with process.database.writing() as session:
        datasets.pin_revision(session, "hub:uoft-cs/cifar10", "abc")
    first = client.post("/v1/runs", json=asked).json()
    assert first["name"] == "uoft-cs/cifar10, vit-tiny"
    assert first["spec"]["dataset"] == "hub:uoft-cs/cifar10?evaluation=0.1&label=label"
    assert first["spec"]["pinned"]["dataset_digest"] == "hub:uoft-cs/cifar10@abc"
    again = client.post("/v1/runs", json={"dataset": first["spec"]["dataset"]}).json()
    assert again["spec"] == first["spec"]


@pytest.mark.parametrize(
    ("dataset", "kind"),
    [
        ("hub:nobody/nothing?config=x", "unknown-dataset"),
        ("digits?train=train", "unknown-dataset"),
        ("hub:uoft-cs/cifar10?split=test", "invalid-spec"),
        ("hub:uoft-cs/cifar10?train=a&train=b", "invalid-spec"),
        ("hub:uoft-cs/cifar10?config=", "invalid-spec"),
        ("hub:uoft-cs/cifar10?evaluation=1.5", "invalid-spec"),
        ("hub:uoft-cs/cifar10?evaluation=train", "invalid-spec"),
        ("hub:uoft-cs/cifar10?label=" + "ü" * 60, "invalid-spec"),
    ],
)
def test_submit__choices_that_make_no_sense(idle, problem, dataset, kind):
    problem(idle.post("/v1/runs", json={"dataset": dataset}), 422, kind, "dataset")
