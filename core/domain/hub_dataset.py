"""A dataset of the Hugging Face hub as a run names it: `hub:<owner>/<name>`, and behind a `?` what is chosen of it.

The choices are written as a query, `hub:<owner>/<name>?evaluation=test&label=species`, so that a dataset stays one
string: in a run, on the command line and in every key.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from core.errors import InvalidSpecError

HUB_PREFIX = "hub:"
MAX_LENGTH = 200
"""Of a run's `dataset`, letters."""

UNRESOLVED = "unresolved"
"""Stands for the commit in a pinned digest, `hub:<owner>/<name>@<commit>`, before the first download."""

TRAIN = "train"
"""The split that trains where nothing else is said."""

CHOICES = ("config", "evaluation", "image", "label", "train")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HubDataset:
    """What a run's `dataset` says. `str()` is its one canonical form: sorted, and without what is so anyway.

    Attributes:
        id: `<owner>/<name>`.
        config: configuration of the dataset, None: its default.
        image: column of the images, None: found by its type.
        label: column of the labels, None: found by its type.
        train: split to train on.
        evaluation: split to evaluate on, None: `share`, or what the dataset has.
        share: of the training split that is held out to evaluate on, 0..1, None: `evaluation`, or what the dataset has.
    """

    id: str
    config: str | None = None
    image: str | None = None
    label: str | None = None
    train: str = TRAIN
    evaluation: str | None = None
    share: float | None = None

    @property
    def source(self) -> str:
        """What its commit is pinned under: one for all that is chosen of it."""
        return HUB_PREFIX + self.id

    def __str__(self) -> str:
        """`hub:<owner>/<name>?…`, equal for equal datasets."""
        chosen = {
            "config": self.config,
            "evaluation": self.evaluation if self.share is None else repr(self.share),
            "image": self.image,
            "label": self.label,
            "train": None if self.train == TRAIN else self.train,
        }
        query = urlencode({name: value for name, value in chosen.items() if value is not None}, safe="/")
        return f"{self.source}?{query}" if query else self.source


def read(dataset: str) -> HubDataset | None:
    """What a run's `dataset` says of the hub; None for any other dataset.

    >>> str(read("hub:a/b?train=train&label=species&evaluation=.20"))
    'hub:a/b?evaluation=0.2&label=species'

    Raises:
        InvalidSpecError: what follows the `?` makes no sense.
    """
    if not dataset.startswith(HUB_PREFIX):
        return None
    hub_id, _, query = dataset.removeprefix(HUB_PREFIX).partition("?")
    chosen = _chosen(query)
    evaluation = chosen.pop("evaluation", None)
    share = _share(evaluation) if evaluation else None
    found = HubDataset(hub_id, **chosen, evaluation=evaluation if share is None else None, share=share)
    if found.evaluation == found.train:
        raise _wrong(f"Both train and evaluation are the split {found.train!r}: choose two, or a ratio such as 0.2")
    if found.image is not None and found.image == found.label:
        raise _wrong(f"Both image and label are the column {found.image!r}: choose two")
    return found


def require(dataset: str) -> HubDataset:
    """What a run's `dataset` says of the hub.

    Raises:
        InvalidSpecError: as for `read`, or it is none of the hub.
    """
    found = read(dataset)
    if found is None:
        raise _wrong(f"{dataset[:80]!r} is no dataset of the hub: write {HUB_PREFIX}<owner>/<name>")
    return found


def canonical(dataset: str) -> str:
    """The one form of a run's `dataset`: that of `HubDataset`, or as it is.

    Raises:
        InvalidSpecError: as for `read`, or it is too long in this form.
    """
    found = read(dataset)
    written = dataset if found is None else str(found)
    if len(written) > MAX_LENGTH:
        raise _wrong(f"{written[:80]}… has {len(written)} letters, {MAX_LENGTH} are allowed")
    return written


def pinned_as(dataset: str) -> str:
    """What the commit of a run's `dataset` is pinned under; a name without one where it is none of the hub."""
    found = read(dataset)
    return dataset if found is None else found.source


def _chosen(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict") if query else []
    except ValueError as error:  # also of bytes that are no UTF-8
        raise _wrong(f"{query[:80]!r} behind the ? cannot be read: write NAME=VALUE, several joined by &") from error
    chosen: dict[str, str] = {}
    for name, value in pairs:
        if name not in CHOICES:
            raise _wrong(f"Of a dataset of the hub {name[:80]!r} cannot be chosen, only {', '.join(CHOICES)}")
        if name in chosen:
            raise _wrong(f"{name} is said twice: leave one out")
        if not value:
            raise _wrong(f"{name} is empty: write a name behind the =, or leave it out")
        chosen[name] = value
    return chosen


def _share(evaluation: str) -> float | None:
    """The ratio, None where it is the name of a split."""
    if not _NUMBER.fullmatch(evaluation):
        return None
    share = float(evaluation)
    if not 0.0 < share < 1.0:
        raise _wrong(f"evaluation is {evaluation[:80]}: name a split, or write a ratio between 0 and 1 such as 0.2")
    return share


def _wrong(what: str) -> InvalidSpecError:
    return InvalidSpecError(f"{what}.", field="dataset")
