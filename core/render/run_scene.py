"""The frames of a run's film. The static parts are drawn once; each frame is a copy with the moving parts added."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FrameFacts, OutlierScores, ProbeSet, Projection, TrainingLog
from core.domain.quality import Highlight, QualityCard
from core.domain.spec import RenderSpec
from core.draw import colors
from core.draw.canvas import mix_text_colors
from core.draw.palette import Frame, build_palette
from core.draw.thumbnails import Thumbnails, resize
from core.draw.viewport import fit_viewport
from core.render.page.run_page import arrange
from core.render.panels.background import draw_background
from core.render.panels.captions import captions
from core.render.panels.curve import Curves, place_panel, read_curves
from core.render.panels.leaderboard import LeaderboardRow, draw_heading, draw_row, plan_leaderboard
from core.render.panels.leaderboard_order import leaderboard_order
from core.render.panels.legend import draw_legend
from core.render.panels.quality import draw_quality
from core.render.panels.scatter import Scatter
from core.render.panels.stats import draw_stats, plan_stats
from core.render.timeline import FilmTime, positions

_MOST_SAMPLED = 400
"""Maximum number of thumbnails from which the palette's free colours are chosen. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The inputs of a film of T frames and N points.

    Attributes:
        name: name of the run, drawn as the title.
        projection: T layouts of N points.
        scores: outlier scores, (T, N).
        log: training log, drawn as the loss curve; NaN is left out.
        probe: N images with their labels.
        embedded: T checkpoints, by rising step.
        note: name of the layout method, drawn in the plot's corner.
        highlights: highlights, drawn as captions.
        card: quality card; None if it is unknown.
        phases: last step before each phase of the training, and the phase's name.
    """

    name: str
    projection: Projection
    scores: OutlierScores
    log: TrainingLog
    probe: ProbeSet
    embedded: Sequence[FrameFacts]
    note: str = "PCA"
    highlights: Sequence[Highlight] = ()
    card: QualityCard | None = None
    phases: Sequence[tuple[int, str]] = ()

    @property
    def curves(self) -> Curves:
        """Loss and accuracy by step."""
        return read_curves(self.log, self.embedded, phases=self.phases)

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: the arrays differ in T or N, T or N is 0, or there are more than 200 classes.
        """
        n_frames, n_points = len(self.embedded), len(self.probe.labels)
        if not n_frames or not n_points:
            raise ValueError("A film needs at least one frame and one point.")
        if self.projection.points.shape != (n_frames, n_points, 2):
            raise ValueError(f"The shape of points is {self.projection.points.shape}, not {(n_frames, n_points, 2)}.")
        if self.scores.distance.shape != (n_frames, n_points):
            raise ValueError(f"The shape of scores is {self.scores.distance.shape}, not {(n_frames, n_points)}.")
        if any(len(facts.predictions) != n_points for facts in self.embedded):
            raise ValueError(f"A frame does not have {n_points} predictions.")
        if len(self.probe.class_names) > colors.MAX_CLASSES:
            raise ValueError(f"A film shows at most {colors.MAX_CLASSES} classes, not {len(self.probe.class_names)}.")


class FrameRenderer:
    """Draws the frames of a run's film one at a time.

    Args:
        spec: size, theme and options of the film.
        scene: inputs of the film.

    Attributes:
        palette: palette of the film.
        n_frames: T, number of checkpoints.
        page: layout of the frames.
        text_colors: palette indices of text.
        board: grid of the leaderboard; None without a leaderboard.
        panel: position and curves of the curve panel.
        scatter: draws the points.

    Raises:
        DegenerateEmbeddingsError: a coordinate is NaN or infinite.
    """

    def __init__(self, spec: RenderSpec, scene: Scene) -> None:
        self._scene, self._tween = scene, spec.tween
        probe, embedded = scene.probe, scene.embedded
        self.n_frames = len(embedded)
        self._followed = [row for row in spec.trails if row < len(probe.labels)]
        n_classes, n_rows = len(probe.class_names), min(spec.leaderboard, len(probe.labels))
        self._standings = leaderboard_order(scene.scores.distance, n_rows)
        self.page = arrange(
            spec.width,
            spec.height,
            n_classes=n_classes,
            leaderboard=spec.leaderboard,
            captions=spec.captions and bool(scene.highlights),
            card=spec.card and scene.card is not None,
        )
        self.board = plan_leaderboard(self.page, n_rows)
        side = self.board.thumbnail if self.board else 1
        self.palette = build_palette(n_classes, self._sample_thumbnails(side), colors.THEMES[spec.theme])
        self._thumbnails = Thumbnails(probe.images, self.palette, side)
        self.text_colors = mix_text_colors(self.palette)
        self.panel = place_panel(self.page.curve, scene.curves, self.page.scale)
        self._stats = plan_stats(self.page, embedded, total=self.panel.curves.last_step)
        self._told = captions(scene.highlights, len(embedded), frames_a_second=spec.fps / (1 + spec.tween))
        self.scatter = Scatter(
            self.page,
            viewport=fit_viewport(scene.projection.points, aspect=Scatter.aspect(self.page)),
            labels=probe.labels,
            palette=self.palette,
            text_colors=self.text_colors,
            caption=scene.note,
        )
        self._chrome = draw_background(self.page, self.panel, self.palette, self.text_colors, name=scene.name)
        for layer in (self._chrome.future, self._chrome.past):
            draw_legend(layer, self.page, self.palette, self.text_colors, probe.class_names)
            if self.board:
                draw_heading(layer, self.page, self.text_colors)

    def film(self) -> Iterator[tuple[int | None, Frame]]:
        """Yield every picture with its checkpoint, or with None between two checkpoints; each is drawn on demand."""
        for index, position in positions(self.n_frames, self._tween):
            yield index, self.draw(position)

    def draw(self, position: float) -> Frame:
        """Draw a picture of the film.

        Args:
            position: 0 to T - 1; whole numbers are checkpoints.

        Returns:
            (H, W) uint8 palette indices, a new array.
        """
        scene, frame = self._scene, self._chrome.future.copy()
        time = FilmTime.at(position, self.n_frames)
        self.scatter.draw(
            frame,
            time.between(scene.projection.points),
            self._standings[time.nearest].images,
            explained=float(scene.projection.explained_variance[time.index]),
            trails=time.trails(scene.projection.points, self._followed),
        )
        self.scatter.tell(frame, self._told[time.index])
        facts = time.facts(scene.embedded)
        draw_stats(frame, self.page, self._stats, facts, self.text_colors)
        self._draw_leaderboard(frame, time)
        self._draw_position(frame, facts)
        if self.page.card.height and scene.card:
            draw_quality(frame, self.page, self.text_colors, scene.card, time.index)
        return frame

    def _draw_leaderboard(self, frame: Frame, time: FilmTime) -> None:
        """Draw the leaderboard. Entries that stay slide to their new rows; the others appear or disappear half-way."""
        if self.board is None:
            return
        scene = self._scene
        before, after = (self._standings[at].images.tolist() for at in (time.index, time.following))
        standing = self._standings[time.nearest]
        predictions = scene.embedded[time.index].predictions
        rows = []
        for number, image in enumerate(standing.images.tolist(), start=1):
            stays = image in before and image in after
            places = (before.index(image), after.index(image)) if stays else (number - 1, number - 1)
            row = LeaderboardRow(
                number=number,
                at=places[0] + (places[1] - places[0]) * time.fraction,
                new=image in standing.new,
                image=image,
                label=int(scene.probe.labels[image]),
                predicted=int(predictions[image]),
                score=float(scene.scores.distance[time.nearest, image]),
            )
            rows.append((places[0] != places[1], row))
        for _, row in sorted(rows, key=lambda pair: pair[0]):  # sliding rows are drawn last, over the others
            draw_row(
                frame,
                self.board,
                row,
                thumbnails=self._thumbnails,
                class_names=scene.probe.class_names,
                text_colors=self.text_colors,
            )

    def _draw_position(self, frame: Frame, facts: FrameFacts) -> None:
        """Show the curves in full colours up to this step, and draw a marker on each curve."""
        panel, page = self.panel, self.page
        loss, accuracy = panel.curves.loss.at(facts.step), panel.curves.accuracy.at(facts.step)
        marks = (
            (accuracy if np.isfinite(facts.accuracy) else None, self.text_colors.accent),
            (None if loss is None else loss / panel.curves.top, self.text_colors.ink),
        )
        shown = ((panel.y(share), ink) for share, ink in marks if share is not None)
        self._chrome.mark(frame, page, panel.x(facts.step), shown)

    def _sample_thumbnails(self, side: int) -> NDArray[np.uint8]:
        """Return (M, side, side, 3) uint8 thumbnails, a regular sample of all images on leaderboards of the film."""
        rows = np.unique(np.concatenate([standing.images for standing in self._standings]))
        rows = rows[:: max(1, -(-len(rows) // _MOST_SAMPLED))]
        if not len(rows):
            return np.zeros((0, side, side, 3), dtype=np.uint8)
        return np.stack([np.asarray(resize(self._scene.probe.images[row], side)) for row in rows])
