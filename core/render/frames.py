"""The frames of a film: what stays is drawn once, what moves is written into a copy of it, frame by frame."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FrameFacts, OutlierScores, ProbeSet, Projection, TrainingLog
from core.domain.spec import RenderSpec
from core.render import colors
from core.render.canvas import in_eighths, mix_inks
from core.render.chrome import draw_chrome
from core.render.curve import place_panel, read_curves
from core.render.leaderboard import Row, draw_heading, draw_row, plan_leaderboard, worst
from core.render.legend import draw_legend
from core.render.page import arrange
from core.render.palette import Palette, build_palette
from core.render.scatter import Scatter
from core.render.stamps import disc, press
from core.render.stats import draw_stats, plan_stats
from core.render.thumbnails import Thumbnails, resize
from core.render.viewport import fit_viewport

Frame = NDArray[np.uint8]
"""(H, W) indices into the film's palette."""

_MOST_SAMPLED = 400
"""So many thumbnails, spread over the film, choose the palette's free colours."""


def draw_frames(
    *,
    spec: RenderSpec,
    name: str,
    projection: Projection,
    scores: OutlierScores,
    log: TrainingLog,
    probe: ProbeSet,
    embedded: Sequence[FrameFacts],
    caption: str = "PCA",
) -> tuple[Palette, Iterator[Frame]]:
    """Draw a film.

    Args:
        spec: size of the frames and rows of the leaderboard.
        name: the run's name, drawn as the title.
        projection: T layouts of N points.
        scores: of the same T and N.
        log: the curve under the points; NaN is left out.
        probe: N images with their labels.
        embedded: T facts, one a frame, by rising step.
        caption: how the layout was made, in the plot's corner.

    Returns:
        The film's one palette, and T frames of (height, width), each drawn when it is asked for and never written
        to again.

    Raises:
        DegenerateEmbeddingsError: a coordinate is NaN or infinite.
        ValueError: the arrays disagree in T or N, T is 0, or there are more than 200 classes.
    """
    _check_shapes(projection, scores, probe, embedded)
    renderer = FrameRenderer(
        spec,
        name=name,
        projection=projection,
        scores=scores,
        log=log,
        probe=probe,
        embedded=embedded,
        caption=caption,
    )
    return renderer.palette, (renderer.draw(index) for index in range(len(embedded)))


class FrameRenderer:
    """Holds what the frames of one film share.

    Attributes:
        palette: of the film.
        page: where things are on a frame.
        inks: text colours.
        board: the leaderboard's grid, None where there is none.
        panel: the axes of loss and accuracy.
        scatter: draws the points.
    """

    def __init__(
        self,
        spec: RenderSpec,
        *,
        name: str,
        projection: Projection,
        scores: OutlierScores,
        log: TrainingLog,
        probe: ProbeSet,
        embedded: Sequence[FrameFacts],
        caption: str,
    ) -> None:
        self._projection, self._scores, self._probe, self._embedded = projection, scores, probe, embedded
        n_rows = min(spec.leaderboard, len(probe.labels))
        self._worst = [worst(distance, n_rows) for distance in scores.distance]
        self.page = arrange(spec.width, spec.height, n_classes=len(probe.class_names), leaderboard=spec.leaderboard)
        self.board = plan_leaderboard(self.page, n_rows)
        side = self.board.thumbnail if self.board else 1
        self.palette = build_palette(len(probe.class_names), self._sample_thumbnails(side))
        self._thumbnails = Thumbnails(probe.images, self.palette, side)
        self.inks = mix_inks(self.palette)
        self.panel = place_panel(self.page, read_curves(log, embedded))
        self._stats = plan_stats(self.page, embedded, total=self.panel.curves.last_step)
        self.scatter = Scatter(
            self.page,
            viewport=fit_viewport(projection.points, aspect=Scatter.aspect(self.page)),
            labels=probe.labels,
            palette=self.palette,
            inks=self.inks,
            caption=caption,
        )
        self._chrome = draw_chrome(self.page, self.panel, self.palette, self.inks, name=name)
        for layer in (self._chrome.future, self._chrome.past):
            draw_legend(layer, self.page, self.palette, self.inks, probe.class_names)
            if self.board:
                draw_heading(layer, self.page, self.inks)

    def draw(self, index: int) -> Frame:
        """(H, W) uint8: frame `index`, from 0; its array is new."""
        frame = self._chrome.future.copy()
        shown = self._worst[index]
        self.scatter.draw(
            frame,
            self._projection.points[index],
            shown,
            explained=float(self._projection.explained_variance[index]),
        )
        draw_stats(frame, self.page, self._stats, self._embedded[index], self.inks)
        self._draw_leaderboard(frame, index)
        self._draw_position(frame, self._embedded[index])
        return frame

    def _draw_leaderboard(self, frame: Frame, index: int) -> None:
        if self.board is None:
            return
        predictions, distance = self._embedded[index].predictions, self._scores.distance[index]
        for number, image in enumerate(self._worst[index].tolist(), start=1):
            row = Row(
                number=number,
                image=image,
                label=int(self._probe.labels[image]),
                predicted=int(predictions[image]),
                score=float(distance[image]),
            )
            draw_row(
                frame,
                self.board,
                row,
                thumbnails=self._thumbnails,
                class_names=self._probe.class_names,
                inks=self.inks,
            )

    def _draw_position(self, frame: Frame, facts: FrameFacts) -> None:
        """Strengthen the curves up to this step and set a marker on each."""
        panel, page = self.panel, self.page
        x = panel.x(facts.step)
        rows, columns = slice(page.curve.top, page.curve.bottom), slice(page.curve.left, round(x))
        frame[rows, columns] = self._chrome.past[rows, columns]
        mark = disc(4.5 * page.scale, rim=1.5 * page.scale)
        loss = panel.curves.loss.at(facts.step)
        marks = (
            (facts.accuracy if np.isfinite(facts.accuracy) else None, self.inks.accent),
            (None if loss is None else loss / panel.curves.top, self.inks.ink),
        )
        for share, ink in marks:
            if share is not None:
                press(frame, mark, np.array([[x, panel.y(share)]]), in_eighths(ink))

    def _sample_thumbnails(self, side: int) -> NDArray[np.uint8]:
        """(M, side, side, 3): thumbnails from all over the film."""
        rows = np.unique(np.concatenate(self._worst))
        rows = rows[:: max(1, -(-len(rows) // _MOST_SAMPLED))]
        if not len(rows):
            return np.zeros((0, side, side, 3), dtype=np.uint8)
        return np.stack([np.asarray(resize(self._probe.images[row], side)) for row in rows])


def _check_shapes(
    projection: Projection, scores: OutlierScores, probe: ProbeSet, embedded: Sequence[FrameFacts]
) -> None:
    n_frames, n_points = len(embedded), len(probe.labels)
    if not n_frames or not n_points:
        raise ValueError("A film needs at least one frame and one point.")
    if projection.points.shape != (n_frames, n_points, 2):
        raise ValueError(f"points are {projection.points.shape}, not {(n_frames, n_points, 2)}.")
    if scores.distance.shape != (n_frames, n_points):
        raise ValueError(f"scores are {scores.distance.shape}, not {(n_frames, n_points)}.")
    if any(len(facts.predictions) != n_points for facts in embedded):
        raise ValueError(f"Each frame needs {n_points} predictions.")
    if len(probe.class_names) > colors.MAX_CLASSES:
        raise ValueError(f"A film can show {colors.MAX_CLASSES} classes, not {len(probe.class_names)}.")
