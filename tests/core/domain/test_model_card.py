import json
import shlex
from dataclasses import replace

import pytest

from core.domain.model_card import CheckpointMetrics, Learned, written
from core.domain.phases import LayerDecay
from core.domain.spec import LoraSpec, PinnedSources, RunSpec, TrainSpec

LEARNED = Learned(
    step=300,
    images=797,
    classes=("cat", "dog|wolf"),
    digest="digits-v1",
    parameters=1_234_567,
    architecture="ViTForImageClassification",
    image_size=32,
    learning=1_234_567,
)
MEASURED = [CheckpointMetrics(0, 0.5, 0.71234), CheckpointMetrics(100, 0.6, 0.6), CheckpointMetrics(300, 0.975, None)]

TRAIN = TrainSpec(keep_weights="last", train_size=797)


def card(
    *, model="vit-tiny", dataset="digits", revision=None, learned=LEARNED, measured=MEASURED, name="mine", train=TRAIN
):
    spec = RunSpec(
        name=name,
        dataset=dataset,
        model=model,
        train=train,
        pinned=PinnedSources(dataset_digest="d", model_revision=revision),
    )
    return written(spec, learned, measured, run_id="run_1", service="https://films.example")


def header(text):
    start, head, _rest = text.split("---\n", 2)
    assert start == ""
    return head.splitlines()


def test_written__contains_data_recipe_metrics_and_film():
    text = card()
    assert "# mine\n" in text
    assert "`ViTForImageClassification` of 1,234,567 parameters for images of 32 x 32 pixels" in text
    assert "The training started from `vit-tiny`, random weights." in text
    assert "| training images | 797 |" in text
    assert "| classes | 2: cat, dog\\|wolf |" in text
    assert "| learning_rate | 0.001 |" in text
    assert "| keep_weights | last |" in text
    assert "| 0 | 50.0 % | 0.7123 |\n| 300 | 97.5 % |  |\n" in text
    assert "https://films.example/v1/runs/run_1/film.gif" in text


def test_written__contains_the_number_of_trained_parameters():
    text = card(learned=replace(LEARNED, learning=98_765), train=TRAIN.model_copy(update={"lora": LoraSpec(rank=4)}))
    assert "| trained parameters | 98,765 |" in text
    assert '| lora | {"rank": 4, "alpha": 16.0, "dropout": 0.0} |' in text
    assert "| trained parameters | 1,234,567 |" in card()


def test_written__the_recipe_has_every_field_of_the_training():
    assert [name for name in TrainSpec.model_fields if f"\n| {name} | " not in card()] == []


@pytest.mark.parametrize("lora", [None, {"rank": 4}])
@pytest.mark.parametrize("recipe", ["fine_tune", "head_only", "two_phase"])
def test_written__its_command_repeats_the_run(recipe, lora):
    asked = TrainSpec.model_validate({"keep_weights": "last", "train_size": 797, "recipe": recipe, "lora": lora})
    train = asked.settled(n_images=797, decay=LayerDecay(kind="exponential", factor=0.5))
    line = next(line for line in card(name="it's mine", train=train).splitlines() if line.startswith("curl"))
    *_, address, _flag, _header, _data, body = shlex.split(line)
    assert address == "https://films.example/v1/runs"
    told = json.loads(body)
    again = TrainSpec.model_validate(told["train"]).settled(n_images=797, decay=LayerDecay(kind="family"))
    assert again.model_copy(update={"recipe": recipe}) == train
    spec = RunSpec.model_validate(told | {"train": train, "pinned": {"dataset_digest": "d"}})
    pinned = PinnedSources(dataset_digest="d")
    assert spec == RunSpec(name="it's mine", dataset="digits", train=train, pinned=pinned)


@pytest.mark.parametrize(
    ("sources", "lines"),
    [
        ({}, []),
        ({"model": "google/vit", "dataset": "hub:a/b"}, ['base_model: "google/vit"', "datasets:", '- "a/b"']),
        ({"dataset": "hub:a/b?evaluation=0.1&label=species"}, ["datasets:", '- "a/b"']),
        ({"model": "run:run_2"}, []),
    ],
)
def test_written__the_header_names_hub_ids_only(sources, lines):
    assert header(card(**sources)) == [
        "library_name: transformers",
        "pipeline_tag: image-classification",
        "tags:",
        "- image-classification",
        "- vision",
        "- embedreel",
        "metrics:",
        "- accuracy",
        *lines,
    ]


def test_written__of_a_run_that_began_with_another():
    text = card(model="run:run_2", revision="abc")
    assert "The training started from the last weights of run `run_2`." in text
    assert "| model_revision | abc |" in text


def test_written__vgg_explains_how_to_load_it():
    ours = replace(LEARNED, architecture="VGG16BNForImageClassification")
    assert "from core.learn.vgg import VGG16BNForImageClassification" in card(learned=ours)
    assert "AutoModelForImageClassification" not in card(learned=ours)
    assert "from transformers import AutoModelForImageClassification" in card()


def test_written__nothing_measured_yet():
    assert card(measured=[]).count("| 300 |") == 1  # steps in the recipe


def test_written__names_break_nothing():
    assert "# a \\| b c\n" in card(name="a | b\nc")
