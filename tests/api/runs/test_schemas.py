import pytest


@pytest.mark.parametrize(
    ("asked", "aligned"),
    [
        ({}, "none"),
        ({"project": {"method": "pca"}}, "rigid"),
        ({"project": {"method": "tsne"}}, "rigid"),
        ({"project": {"method": "global_pca"}}, "none"),
        ({"align": {"method": "procrustes"}}, "procrustes"),
        ({"project": {"method": "pca"}, "align": {"method": "none"}}, "none"),
        ({"project": {"method": "pca"}, "align": {"reference": "first"}}, "rigid"),
    ],
)
def test_submit__frames_that_share_their_axes_are_left_where_they_are(submit, asked, aligned):
    assert submit(**asked)["spec"]["align"]["method"] == aligned


def test_renders__another_projection_is_aligned_as_it_should_be(client, submit, worker):
    run = submit(align={"reference": "first"})
    worker.work(run["id"])
    drawn = client.post(run["links"]["renders"], json={"project": {"method": "pca"}}).json()["spec"]
    assert (drawn["align"]["method"], drawn["align"]["reference"]) == ("rigid", "first")
    told = client.post(run["links"]["renders"], json={"project": {"method": "pca"}, "align": {"method": "none"}}).json()
    assert told["spec"]["align"]["method"] == "none"


def test_submit__adapters_are_written_out_in_full(submit):
    assert submit()["spec"]["train"]["lora"] is None
    assert submit(train={"lora": {}})["spec"]["train"]["lora"] == {"rank": 8, "alpha": 16.0, "dropout": 0.0}
    two = submit(train={"lora": {"rank": 4}, "recipe": "two_phase"}, capture={"frames": 5})["spec"]["train"]
    assert two["lora"] == {"rank": 4, "alpha": 16.0, "dropout": 0.0}
