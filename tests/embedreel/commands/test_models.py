import json
from collections.abc import Callable

import pytest

from embedreel import cli
from embedreel.api import Client


def run(url: str, *arguments: str) -> int:
    return cli.main(["--url", url, "--patience", "0", *arguments])


def test_models(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    assert run(url, "models") == 0
    header, preset, checkpoint, unknown = capsys.readouterr().out.splitlines()
    assert header.split() == ["id", "family", "params", "GFLOPs", "input", "width", "pooling"]
    assert preset.split("  ")[0] == "vit-tiny"
    assert [cell.strip() for cell in preset.split("  ") if cell][1:] == [
        "ViT",
        "0.5 M",
        "0.0783",
        "8-64",
        "128",
        "class token (CLS) …",
    ]
    assert "  224  " in checkpoint
    assert unknown == "somebody/unknown"
    assert max(map(len, (header, preset, checkpoint, unknown))) <= 100
    assert run(url, "models", "--json") == 0
    assert json.loads(capsys.readouterr().out) == fake.MODELS


def test_models__of_a_service_that_has_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Client, "models", lambda _client: [])
    assert cli.main(["models"]) == 0
    assert cli.main(["models", "--json"]) == 0
    assert capsys.readouterr().out == "id  family  params  GFLOPs  input  width  pooling\n[]\n"


def test_models__of_which_little_is_known(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Client, "models", lambda _client: [{"id": "vit-tiny", "parameters": 546_186}])
    assert cli.main(["models"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["vit-tiny", "0.5", "M"]


def test_model(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    assert run(url, "models", "vit-tiny") == 0
    assert capsys.readouterr().out == (
        "vit-tiny  ViT, random weights, linear head\n"
        "embedding of 128 features: class token (CLS) after the final norm\n"
        "input of 8 x 8 pixels: 538,000 parameters, 0.02 GFLOPs an image\n"
        "input of 64 x 64 pixels: 546,186 parameters, 0.0783 GFLOPs an image\n"
        "\n"
        "layer         kind      parameters   MFLOPs    output\n"
        "vit           ViTModel  544,896      78.3      65 x 128\n"
        "  layers.0-3  ViTLayer  4 x 132,480  4 x 19.2  65 x 128\n"
        "    mlp       ViTMLP    65,920       8.5       65 x 128\n"
        "classifier    Linear    1,290        0.0       10\n"
        "\n"
        "block         depth from head  parameters\n"
        "vit.layers.0  1                132,480\n"
        "classifier    0                1,290\n"
    )
    assert run(url, "models", "vit-tiny", "--json") == 0
    assert json.loads(capsys.readouterr().out) == fake.MODEL


def test_model__with_unknown_layers(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(service(), "models", "somebody/unknown") == 0
    assert capsys.readouterr().out.splitlines() == [
        "somebody/unknown  a checkpoint of the hub, linear head",
        "The layers of this model are unknown until its checkpoint is loaded.",
    ]


def test_model__that_there_is_none_of(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(service(), "models", "nothing") == 2
    assert "There is nothing here" in capsys.readouterr().err


def test_models__where_no_service_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("http://127.0.0.1:9", "models", "vit-tiny") == 3
    assert "Start the service with `make serve`" in capsys.readouterr().err


def test_models__help_explains_the_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["models", "--help"])
    assert "multiply-add counts as two" in " ".join(capsys.readouterr().out.split())
