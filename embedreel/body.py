"""Build the body of a request from the command line.

The values come from a file, then from flags, then from `--set`. Later sources override earlier ones.
"""

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from embedreel.choices import in_words


class Flag(NamedTuple):
    """A flag that sets one field of the body.

    Attributes:
        field: path of the field, such as `train.steps`.
        kind: converts the flag's text.
        help: the flag's help text.
    """

    field: str
    kind: Callable[[str], Any]
    help: str


Flags: TypeAlias = Mapping[str, Flag]


def numbers(text: str) -> list[int]:
    """Parse integers separated by commas.

    >>> numbers("17,4")
    [17, 4]
    """
    return [int(number) for number in text.split(",")]


SUBMITTED: Flags = {
    "--dataset": Flag("dataset", str, "digits, the id of an uploaded dataset, or hub:<id>, optionally with '?label=…'"),
    "--model": Flag("model", str, "vit-tiny, resnet-tiny, a hub id (see `embedreel models`), or run:RUN"),
    "--name": Flag("name", str, "shown in the film"),
    "--recipe": Flag("train.recipe", str, "fine_tune, head_only or two_phase"),
    "--steps": Flag("train.steps", int, "optimizer steps"),
    "--batch-size": Flag("train.batch_size", int, "images per forward pass"),
    "--learning-rate": Flag("train.learning_rate", float, "peak learning rate"),
    "--train-size": Flag("train.train_size", int, "images to train on (default: all)"),
    "--seed": Flag("train.seed", int, "random seed; the same seed makes the same film"),
    "--frames": Flag("capture.frames", int, "checkpoints, including the untrained model"),
    "--spacing": Flag("capture.spacing", str, "even, log, or drift: more checkpoints where embeddings change faster"),
    "--probe-size": Flag("capture.probe_size", int, "images to embed"),
    "--mode": Flag("capture.mode", str, "inline or offload"),
}
"""Flags of `submit`."""

DRAWN: Flags = {
    "--name": Flag("name", str, "shown in the film"),
    "--width": Flag("render.width", int, "pixels"),
    "--height": Flag("render.height", int, "pixels"),
    "--fps": Flag("render.fps", int, "frames per second"),
    "--theme": Flag("render.theme", str, "light or dark"),
    "--tween": Flag("render.tween", int, "frames drawn between two checkpoints"),
    "--max-bytes": Flag(
        "render.max_bytes", int, "size limit of the GIF, bytes; tweens, then pixels, are reduced if needed"
    ),
    "--leaderboard": Flag("render.leaderboard", int, "number of outliers in the leaderboard"),
    "--trails": Flag(
        "render.trails", numbers, "images whose trails are drawn, by the field `image` of the outliers: 17,4"
    ),
    "--k": Flag("score.k", int, "nearest neighbors in an outlier score"),
    "--project": Flag("project.method", str, in_words("project.method")),
    "--align": Flag("align.method", str, in_words("align.method")),
    "--reference": Flag("align.reference", str, "frame that the others are aligned to: last, previous or first"),
}
"""Flags of `draw`."""

_UNSEEN = {"leaderboard", "score", "project", "align"}
COMPARED: Flags = {flag: asked for flag, asked in DRAWN.items() if not _UNSEEN.intersection(asked.field.split("."))}
"""Flags of `compare`. A comparison uses the layouts of its runs and has no leaderboard."""


def add_flags(parser: ArgumentParser, flags: Flags, *, rest: str) -> None:
    """Add the flags that describe a run to a command.

    Args:
        parser: the command's parser.
        flags: flags for frequently used fields; `--set` sets any field.
        rest: help text about fields that the user does not set.
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
    """Parse `section.field=value`. A value that is not valid JSON is text.

    Raises:
        ArgumentTypeError: the field or the "=" is missing.

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
    """Return the body, with only those fields that the user has set.

    Args:
        arguments: the parsed command line.
        flags: the command's flags.

    Raises:
        ValueError: the file is not a JSON object, or a field's parent is not an object.
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
            raise ValueError(f"{field} cannot be set: {section} has the value {body!r}")  # noqa: TRY004 - user input
    body[last] = value
