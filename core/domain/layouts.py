"""The layout methods and the alignments that a run may name.

A layout method is an entry in `LAYOUTS` and the module `core.layout.methods.<name>`. An alignment is an entry in
`ALIGNMENTS` and the module `core.layout.alignments.<name>`. What the API accepts, the command line offers and the
documentation lists is read from these tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

UNALIGNED = "none"
RIGID = "rigid"


@dataclass(frozen=True, slots=True)
class LayoutMethod:
    """How D features become two.

    Attributes:
        name: of `project.method`, of the module, and of the extra that installs `package`.
        title: as the film shows it.
        description: as the API's documentation says it.
        options: the other fields of `project` that the method reads, and what each one means to it.
        shared_axes: whether all frames are laid out in one system of axes, so that they need no alignment.
        is_neighbor_based: whether it keeps neighbourhoods only: distances and shares of variance mean nothing in it.
        package: the optional package that it needs; None: every worker can do it.
        package_module: what that package is imported as.
    """

    name: str
    title: str
    description: str
    options: Mapping[str, str] = field(default_factory=dict)
    shared_axes: bool = False
    is_neighbor_based: bool = False
    package: str | None = None
    package_module: str | None = None

    @property
    def usual_alignment(self) -> str:
        """The value of `align.method` where the user names none."""
        return UNALIGNED if self.shared_axes else RIGID


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the frames are kept still against each other.

    Attributes:
        name: of `align.method`, and of the module.
        title: as the film shows it, behind the title of the layout method.
        description: as the API's documentation says it.
    """

    name: str
    title: str
    description: str


_NEIGHBORHOODS = "neighbourhoods, each frame started from the one before"
_LAYOUTS = (
    LayoutMethod("pca", "PCA", "each frame's own two axes"),
    LayoutMethod("global_pca", "one PCA for all frames", "one plane for all frames", shared_axes=True),
    LayoutMethod(
        "smooth_pca",
        "PCA, slowly turning",
        "a plane that turns slowly",
        options={"smoothing": "frames (sigma of a Gaussian); null: the least that serves"},
        shared_axes=True,
    ),
    LayoutMethod(
        "tsne",
        "t-SNE",
        _NEIGHBORHOODS,
        options={"neighbors": "perplexity", "seed": "of its random numbers"},
        is_neighbor_based=True,
        package="openTSNE",
        package_module="openTSNE",
    ),
    LayoutMethod(
        "umap",
        "UMAP",
        _NEIGHBORHOODS,
        options={"neighbors": "neighbours of a point", "seed": "of its random numbers"},
        is_neighbor_based=True,
        package="umap-learn",
        package_module="umap",
    ),
)
LAYOUTS: Mapping[str, LayoutMethod] = {method.name: method for method in _LAYOUTS}
"""By `project.method`."""

_ALIGNMENTS = (
    Alignment(RIGID, ", rigidly aligned", "rotation or reflection only"),
    Alignment("procrustes", ", Procrustes-aligned", "as published, with scaling"),
    Alignment(
        UNALIGNED,
        "",
        "as projected, the default where all frames share their axes "
        f"({', '.join(method.name for method in _LAYOUTS if method.shared_axes)})",
    ),
)
ALIGNMENTS: Mapping[str, Alignment] = {alignment.name: alignment for alignment in _ALIGNMENTS}
"""By `align.method`."""


def describe_option(option: str) -> str:
    """What an option means to each layout method that reads it."""
    meanings: dict[str, list[str]] = {}
    for method in _LAYOUTS:
        if option in method.options:
            meanings.setdefault(method.options[option], []).append(method.name)
    return "; ".join(f"{', '.join(names)}: {meaning}" for meaning, names in meanings.items()) + "."
