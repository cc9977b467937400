"""The body of a request for a film from what was typed: a file, then flags, then `--set`, each over the last."""

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from embedreel.choices import in_words


class Flag(NamedTuple):
    """A flag for a field of the body."""

    field: str
    kind: Callable[[str], Any]
    help: str


Flags: TypeAlias = Mapping[str, Flag]


def numbers(text: str) -> list[int]:
    """Whole numbers with commas between them.

    >>> numbers("17,4")
    [17, 4]
    """
    return [int(number) for number in text.split(",")]


SUBMITTED: Flags = {
    "--dataset": Flag("dataset", str, "digits, the id of an uploaded dataset, or hub:<id>, maybe with '?label=…'"),
    "--model": Flag("model", str, "vit-tiny, resnet-tiny, a hub id (see `embedreel models`), or run:RUN"),
    "--name": Flag("name", str, "shown in the film"),
    "--recipe": Flag("train.recipe", str, "fine_tune, head_only or two_phase"),
    "--steps": Flag("train.steps", int, "optimiser steps"),
    "--batch-size": Flag("train.batch_size", int, "images a forward pass"),
    "--learning-rate": Flag("train.learning_rate", float, "peak rate"),
    "--train-size": Flag("train.train_size", int, "images to train on (default: all)"),
    "--seed": Flag("train.seed", int, "same seed, same film"),
    "--frames": Flag("capture.frames", int, "checkpoints, the untrained model included"),
    "--spacing": Flag("capture.spacing", str, "even, log, or drift: where the model moves"),
    "--probe-size": Flag("capture.probe_size", int, "images that are embedded"),
    "--mode": Flag("capture.mode", str, "inline or offload"),
}
"""Flags of a run that is to be made."""

DRAWN: Flags = {
    "--name": Flag("name", str, "shown in the film"),
    "--width": Flag("render.width", int, "pixels"),
    "--height": Flag("render.height", int, "pixels"),
    "--fps": Flag("render.fps", int, "frames a second"),
    "--theme": Flag("render.theme", str, "light or dark"),
    "--tween": Flag("render.tween", int, "frames drawn between two checkpoints"),
    "--max-bytes": Flag("render.max_bytes", int, "of the GIF; tweens and size are given up for it"),
    "--leaderboard": Flag("render.leaderboard", int, "worst outliers shown"),
    "--trails": Flag("render.trails", numbers, "images whose way is drawn, as `image` in the outliers: 17,4"),
    "--k": Flag("score.k", int, "nearest neighbours that an outlier score looks at"),
    "--project": Flag("project.method", str, in_words("project.method")),
    "--align": Flag("align.method", str, in_words("align.method")),
    "--reference": Flag("align.reference", str, "what frames are kept still against: last, previous or first"),
}
"""Flags of a run that is to be drawn otherwise."""

_UNSEEN = {"leaderboard", "score", "project", "align"}
COMPARED: Flags = {flag: asked for flag, asked in DRAWN.items() if not _UNSEEN.intersection(asked.field.split("."))}
"""Flags of a comparison, which shows runs as they are laid out, without their leaderboards."""


def add_flags(parser: ArgumentParser, flags: Flags, *, rest: str) -> None:
    """Give a command the flags that describe a run.

    Args:
        parser: the command's.
        flags: for the fields that are asked for most; `--set` reaches the others.
        rest: what becomes of the fields that are left out.
    """
    group = parser.add_argument_group(f"the run ({rest})")
    for flag, (field, kind, text) in flags.items():
        metavar = {int: "N", float: "X", numbers: "N,N"}.get(kind, "TEXT")
        group.add_argument(flag, dest=field, type=kind, metavar=metavar, help=text)
    group.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        type=setting,
        metavar="FIELD=VALUE",
        help="any other field; may be repeated: --set align.method=procrustes --set render.fps=24",
    )
    group.add_argument("--file", type=Path, metavar="SPEC.json", help="start from this body")


def setting(text: str) -> tuple[str, Any]:
    """Read `section.field=value`; the value is JSON where it can be, else text.

    Raises:
        ArgumentTypeError: there is no field before, or no "=".

    >>> setting("render.fps=24"), setting("align.method=rigid")
    (('render.fps', 24), ('align.method', 'rigid'))
    """
    field, equals, value = text.partition("=")
    if not (equals and all(field.split("."))):
        raise ArgumentTypeError(f"{text!r} is not of the form section.field=value")
    try:
        return field, json.loads(value)
    except json.JSONDecodeError:
        return field, value


def from_arguments(arguments: Namespace, flags: Flags) -> dict[str, Any]:
    """The body, without anything that was not asked for.

    Args:
        arguments: what was typed.
        flags: those that the command has.

    Raises:
        ValueError: the file is no JSON object, or a field is set inside one that is no section.
        OSError: the file cannot be read.
    """
    body: dict[str, Any] = {}
    if arguments.file:
        body = json.loads(arguments.file.read_text())
        if not isinstance(body, dict):
            raise ValueError(f"{arguments.file} must hold one JSON object")
    typed = [(flag.field, getattr(arguments, flag.field)) for flag in flags.values()]
    for field, value in [
        *((field, value) for field, value in typed if value is not None),
        *arguments.settings,
    ]:
        _put(body, field, value)
    return body


def _put(body: dict[str, Any], field: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    *sections, last = field.split(".")
    for section in sections:
        body = body.setdefault(section, {})
        if not isinstance(body, dict):
            raise ValueError(f"{field}: {section} is no section")  # noqa: TRY004 - the user's mistake
    body[last] = value
