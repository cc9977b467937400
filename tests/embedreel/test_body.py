from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import pytest

from api.runs.schemas import RenderCreate
from core.domain.spec import RunSpec
from embedreel import body


def parsed(*arguments: str, flags: body.Flags = body.SUBMITTED) -> Namespace:
    parser = ArgumentParser()
    body.add_flags(parser, flags, rest="")
    return parser.parse_args(arguments)


def from_arguments(arguments: Namespace) -> dict[str, Any]:
    return body.from_arguments(arguments, body.SUBMITTED)


def test_from_arguments__only_given_options() -> None:
    assert from_arguments(parsed("--dataset", "digits")) == {"dataset": "digits"}


def test_from_arguments__flags_have_sections_and_kinds() -> None:
    arguments = parsed(
        *("--dataset", "digits", "--model", "vit-small", "--name", "mine", "--steps", "900", "--batch-size", "32"),
        *("--learning-rate", "3e-4", "--train-size", "500", "--seed", "7", "--frames", "90"),
        *("--probe-size", "200", "--mode", "offload"),
    )
    assert from_arguments(arguments) == {
        "dataset": "digits",
        "model": "vit-small",
        "name": "mine",
        "train": {"steps": 900, "batch_size": 32, "learning_rate": 3e-4, "train_size": 500, "seed": 7},
        "capture": {"frames": 90, "probe_size": 200, "mode": "offload"},
    }


def test_from_arguments__set_reaches_every_field_of_a_spec() -> None:
    schema = RunSpec.model_json_schema()
    for section in ("train", "capture", "score", "project", "align", "render"):
        field = schema["$defs"]["RunSpec"]["properties"][section]
        model = schema["$defs"][field["$ref"].rsplit("/", 1)[1]]
        for field in model["properties"]:
            made = from_arguments(parsed("--dataset", "digits", "--set", f"{section}.{field}=1"))
            assert made == {"dataset": "digits", section: {field: 1}}


def test_from_arguments__set_takes_json_or_text() -> None:
    arguments = parsed("--set", "dataset=digits", "--set", 'render.formats=["gif"]', "--set", "train.train_size=null")
    assert from_arguments(arguments) == {
        "dataset": "digits",
        "render": {"formats": ["gif"]},
        "train": {"train_size": None},
    }


def test_from_arguments__set_over_flag_over_file(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text('{"dataset": "digits", "name": "file", "train": {"steps": 1, "seed": 1, "warmup": 0.5}}')
    arguments = parsed("--file", str(file), "--steps", "2", "--seed", "2", "--set", "train.seed=3")
    assert from_arguments(arguments)["train"] == {"steps": 2, "seed": 3, "warmup": 0.5}


@pytest.mark.parametrize("content", ["[1]", "{", ""])
def test_from_arguments__file_without_an_object(tmp_path: Path, content: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        from_arguments(parsed("--file", str(file)))


def test_from_arguments__a_field_is_no_section() -> None:
    with pytest.raises(ValueError, match=r"dataset\.name cannot be set: dataset has the value 'digits'"):
        from_arguments(parsed("--dataset", "digits", "--set", "dataset.name=1"))


@pytest.mark.parametrize("text", ["train.steps", "=3", "train.=3", ".steps=3"])
def test_setting__malformed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed("--set", text)
    assert caught.value.code == 2
    assert "section.field=value" in capsys.readouterr().err


def test_from_arguments__of_a_drawing_are_fields_that_it_has() -> None:
    typed = ("--width", "640", "--fps", "24", "--k", "5", "--align", "none", "--reference", "previous", "--name", "new")
    made = body.from_arguments(parsed(*typed, flags=body.DRAWN), body.DRAWN)
    assert made == {
        "name": "new",
        "render": {"width": 640, "fps": 24},
        "score": {"k": 5},
        "align": {"method": "none", "reference": "previous"},
    }
    assert RenderCreate(**made).align.method == "none"


@pytest.mark.parametrize("flags", [body.SUBMITTED, body.DRAWN])
def test_flags__name_fields_of_the_spec(flags: body.Flags) -> None:
    for flag in flags.values():
        model = RunSpec
        for part in flag.field.split("."):
            model = model.model_fields[part].annotation
