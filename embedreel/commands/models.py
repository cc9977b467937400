"""The command for models that can be fine-tuned."""

import argparse
import json
import textwrap
from collections.abc import Iterator

from embedreel.access import connect
from embedreel.command import OK, Command
from embedreel.connection import Json
from embedreel.output import add_json_flag, print_table, show

COLUMNS = ["id", "family", "params", "GFLOPs", "input", "width", "pooling"]
LAYER_COLUMNS = ["layer", "kind", "parameters", "MFLOPs", "output"]
BLOCK_COLUMNS = ["block", "depth from head", "parameters"]
POOLING_WIDTH = 20  # columns that remain of 100 beside the longest id
UNKNOWN = "The layers of this model are unknown until its checkpoint is loaded."


def models(options: argparse.Namespace) -> int:
    """Show the models that can be fine-tuned, or one model with its layers.

    FLOPs are counted for the forward pass of one image. A multiply-add counts as two. Norms and activations are not
    counted. Parameters and FLOPs are for a head of ten classes and, for a preset, an input of 32 x 32 pixels.
    """
    with connect(options) as client:
        if options.id:
            _show_one(client.model(options.id), as_json=options.json)
            return OK
        found = client.models()
    show(found if options.json else [_row(model) for model in found], COLUMNS, as_json=options.json)
    return OK


def _show_one(model: Json, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(model, indent=2))
        return
    print(f"{model['id']}  {_headline(model)}")
    if model.get("width") is not None:
        print(f"embedding of {model['width']} features: {model['pooling']}")
    for size in model.get("inputs") or []:
        side, parameters, flops = size["image_size"], size["parameters"], size["flops"]
        print(f"input of {side} x {side} pixels: {parameters:,} parameters, {flops / 1e9:.3g} GFLOPs an image")
    if not model.get("layer_tree"):
        print(UNKNOWN)
        return
    print()
    print_table([row for child in model["layer_tree"]["children"] for row in _layer_rows(child)], LAYER_COLUMNS)
    print()
    print_table([_block_row(block) for block in model.get("blocks") or []], BLOCK_COLUMNS)


def _headline(model: Json) -> str:
    """Return the model's family, origin and kind of head."""
    origin = "random weights" if model.get("kind") == "preset" else "a checkpoint of the hub"
    return ", ".join(part for part in (model.get("family"), origin, f"{model['head']} head") if part)


def _row(model: Json) -> Json:
    """Return a model's table row. `pooling` may be shortened, so that the row has at most 100 columns."""
    parameters, flops, inputs = model.get("parameters"), model.get("flops"), model.get("inputs") or []
    sides = [size["image_size"] for size in inputs]
    return {
        **model,
        "params": None if parameters is None else f"{parameters / 1e6:.1f} M",
        "GFLOPs": None if flops is None else f"{flops / 1e9:.3g}",
        "input": "-".join(str(side) for side in dict.fromkeys((sides[0], sides[-1]))) if sides else None,
        "pooling": textwrap.shorten(model.get("pooling") or "", POOLING_WIDTH, placeholder=" …"),
    }


def _layer_rows(layer: Json, *, level: int = 0) -> Iterator[Json]:
    """Yield the table row of a layer, and the rows of its children, indented by two more columns."""
    repeat = layer["repeat"]
    times = f"{repeat} x " if repeat > 1 else ""
    yield {
        "layer": "  " * level + _numbered(layer["name"], repeat),
        "kind": layer["kind"],
        "parameters": f"{times}{layer['parameters']:,}",
        "MFLOPs": f"{times}{layer['flops'] / 1e6:,.1f}",
        "output": " x ".join(map(str, layer["output_shape"])),
    }
    for child in layer["children"]:
        yield from _layer_rows(child, level=level + 1)


def _numbered(name: str, repeat: int) -> str:
    """Return the name of `repeat` consecutive layers.

    >>> _numbered("layers.1", 3), _numbered("mlp", 1)
    ('layers.1-3', 'mlp')
    """
    last = name.rpartition(".")[2]
    return f"{name}-{int(last) + repeat - 1}" if repeat > 1 else name


def _block_row(block: Json) -> Json:
    parameters = f"{block['parameters']:,}"
    return {"block": block["name"], "depth from head": block["depth_from_head"], "parameters": parameters}


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", metavar="ID", help="show this model, layer by layer")
    add_json_flag(parser)


COMMANDS = (Command("models", models, _flags),)
