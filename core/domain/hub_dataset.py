"""Names of datasets on the Hugging Face hub: `hub:<owner>/<name>`, with options after a `?`.

The options are written as a query string, `hub:<owner>/<name>?evaluation=test&label=species`. So a dataset is one
string in a run, on the command line and in artifact keys.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from core.errors import InvalidSpecError

HUB_PREFIX = "hub:"
MAX_LENGTH = 200
"""Largest number of characters of a run's `dataset`. Chosen by hand; not measured."""

UNRESOLVED = "unresolved"
"""Placeholder for the commit in a pinned digest `hub:<owner>/<name>@<commit>` before the first download."""

TRAIN = "train"
"""Default name of the training split."""

CHOICES = ("config", "evaluation", "image", "label", "train")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HubDataset:
    """A parsed name. `str()` returns the canonical form: options are sorted, and defaults are left out.

    Attributes:
        id: `<owner>/<name>`.
        config: configuration of the dataset; None means the default configuration.
        image: column of the images; None means that the type of the columns decides.
        label: column of the labels; None means that the type of the columns decides.
        train: training split.
        evaluation: evaluation split; None means that `share` or the dataset decides.
        share: fraction of the training split that is held out for evaluation, 0..1; None means that `evaluation` or
            the dataset decides.
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
        """The name under which the commit is pinned. All options of one dataset share it."""
        return HUB_PREFIX + self.id

    def __str__(self) -> str:
        """Return the canonical form, `hub:<owner>/<name>?…`."""
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
    """Parse a run's `dataset`; return None if the name is not a hub dataset.

    >>> str(read("hub:a/b?train=train&label=species&evaluation=.20"))
    'hub:a/b?evaluation=0.2&label=species'

    Raises:
        InvalidSpecError: the options after the `?` are invalid.
    """
    if not dataset.startswith(HUB_PREFIX):
        return None
    hub_id, _, query = dataset.removeprefix(HUB_PREFIX).partition("?")
    chosen = _chosen(query)
    evaluation = chosen.pop("evaluation", None)
    share = _share(evaluation) if evaluation else None
    found = HubDataset(hub_id, **chosen, evaluation=evaluation if share is None else None, share=share)
    if found.evaluation == found.train:
        raise _wrong(
            f"train and evaluation are both the split {found.train!r}: name two splits, or set evaluation to a "
            "fraction such as 0.2"
        )
    if found.image is not None and found.image == found.label:
        raise _wrong(f"image and label are both the column {found.image!r}: name two columns")
    return found


def require(dataset: str) -> HubDataset:
    """Parse a run's `dataset`, which must be a hub dataset.

    Raises:
        InvalidSpecError: the name is not a hub dataset, or its options are invalid.
    """
    found = read(dataset)
    if found is None:
        raise _wrong(f"{dataset[:80]!r} is not a hub dataset: write {HUB_PREFIX}<owner>/<name>")
    return found


def canonical(dataset: str) -> str:
    """Return the canonical form of a run's `dataset`. Names of other datasets are returned unchanged.

    Raises:
        InvalidSpecError: the options are invalid, or the canonical form is too long.
    """
    found = read(dataset)
    written = dataset if found is None else str(found)
    if len(written) > MAX_LENGTH:
        raise _wrong(f"{written[:80]}… has {len(written)} characters, but at most {MAX_LENGTH} are allowed")
    return written


def pinned_as(dataset: str) -> str:
    """Return the name under which the commit of a run's `dataset` is pinned. Other datasets have no commit."""
    found = read(dataset)
    return dataset if found is None else found.source


def _chosen(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict") if query else []
    except ValueError as error:  # a UnicodeDecodeError is a ValueError too
        raise _wrong(
            f"{query[:80]!r} after the ? cannot be parsed: write NAME=VALUE, and join several options with &"
        ) from error
    chosen: dict[str, str] = {}
    for name, value in pairs:
        if name not in CHOICES:
            raise _wrong(f"{name[:80]!r} is not an option of a hub dataset; the options are {', '.join(CHOICES)}")
        if name in chosen:
            raise _wrong(f"{name} occurs twice: remove one")
        if not value:
            raise _wrong(f"{name} is empty: write a value after the =, or remove the option")
        chosen[name] = value
    return chosen


def _share(evaluation: str) -> float | None:
    """Return the fraction; None if the text is the name of a split."""
    if not _NUMBER.fullmatch(evaluation):
        return None
    share = float(evaluation)
    if not 0.0 < share < 1.0:
        raise _wrong(f"evaluation is {evaluation[:80]}: name a split, or write a fraction between 0 and 1 such as 0.2")
    return share


def _wrong(what: str) -> InvalidSpecError:
    return InvalidSpecError(f"{what}.", field="dataset")
