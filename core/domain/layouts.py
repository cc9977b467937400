"""The layout methods and the alignments that a run may name.

A layout method is an entry in `_LAYOUTS` and the module `core.layout.methods.<name>`. An alignment is an entry in
`ALIGNMENTS` and the module `core.layout.alignments.<name>`. The API, the command line and the documentation read these
tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

UNALIGNED = "none"
RIGID = "rigid"


@dataclass(frozen=True, slots=True)
class LayoutMethod:
    """A method that projects embeddings (N, D) to points (N, 2).

    Attributes:
        name: value of `project.method`, name of the module, and name of the extra that installs `package`.
        title: title in the film.
        description: description in the API's documentation, without a full stop.
        options: the other fields of `project` that the method reads, with the meaning of each.
        shared_axes: True if all frames share one system of axes, so that they need no alignment.
        is_neighbor_based: True if the method preserves neighbourhoods only. Distances and explained variance have no
            meaning in such a layout.
        package: optional package that the method needs; None if every worker has the method.
        package_module: name under which the package is imported.
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
        """The value of `align.method` if the user names none."""
        return UNALIGNED if self.shared_axes else RIGID


@dataclass(frozen=True, slots=True)
class Alignment:
    """A method that aligns the frames of a film with each other.

    Attributes:
        name: value of `align.method`, and name of the module.
        title: title in the film, after the title of the layout method.
        description: description in the API's documentation, without a full stop.
    """

    name: str
    title: str
    description: str


_NEIGHBORHOODS = "neighbourhoods; each frame starts from the previous frame"
_LAYOUTS = (
    LayoutMethod("pca", "PCA", "the first two principal components of each frame"),
    LayoutMethod("global_pca", "one PCA for all frames", "one plane for all frames", shared_axes=True),
    LayoutMethod(
        "smooth_pca",
        "PCA, slowly turning",
        "a plane that turns slowly",
        options={"smoothing": "sigma of a Gaussian over time, in frames; null: the smallest sufficient value"},
        shared_axes=True,
    ),
    LayoutMethod(
        "tsne",
        "t-SNE",
        _NEIGHBORHOODS,
        options={"neighbors": "perplexity", "seed": "seed of the random numbers"},
        is_neighbor_based=True,
        package="openTSNE",
        package_module="openTSNE",
    ),
    LayoutMethod(
        "umap",
        "UMAP",
        _NEIGHBORHOODS,
        options={"neighbors": "number of neighbours of a point", "seed": "seed of the random numbers"},
        is_neighbor_based=True,
        package="umap-learn",
        package_module="umap",
    ),
)
LAYOUTS: Mapping[str, LayoutMethod] = {method.name: method for method in _LAYOUTS}
"""All layout methods, by their name in `project.method`."""

_ALIGNMENTS = (
    Alignment(RIGID, ", rigidly aligned", "rotation or reflection only"),
    Alignment("procrustes", ", Procrustes-aligned", "as in the article, with scaling"),
    Alignment(
        UNALIGNED,
        "",
        "no alignment; the default if all frames share their axes "
        f"({', '.join(method.name for method in _LAYOUTS if method.shared_axes)})",
    ),
)
ALIGNMENTS: Mapping[str, Alignment] = {alignment.name: alignment for alignment in _ALIGNMENTS}
"""All alignments, by their name in `align.method`."""


def describe_option(option: str) -> str:
    """Return the meaning of an option for each layout method that reads it, as one sentence."""
    meanings: dict[str, list[str]] = {}
    for method in _LAYOUTS:
        if option in method.options:
            meanings.setdefault(method.options[option], []).append(method.name)
    return "; ".join(f"{', '.join(names)}: {meaning}" for meaning, names in meanings.items()) + "."
