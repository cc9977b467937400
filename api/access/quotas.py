"""Limits that the operator sets, checked before a run is accepted: size of a run, number of runs, free disk space."""

from sqlalchemy.orm import Session

from core.domain.spec import RunSpec
from core.errors import MAKE_ROOM, InsufficientStorageError, InvalidSpecError, QuotaExceededError
from core.settings import GIB, Settings
from core.store.objects.artifacts import ArtifactStore
from core.store.queries import datasets, runs

RUNS_WAIT_SECONDS = 30
"""Retry-After of QuotaExceededError for runs, seconds. Chosen by hand; not measured: durations of runs vary widely."""


def check_training(settings: Settings, spec: RunSpec) -> None:
    """Check the size of a run's training.

    Raises:
        InvalidSpecError: the run has too many steps or too many probe images.
    """
    if spec.train.steps > settings.max_steps:
        detail = f"steps is {spec.train.steps}, but this service takes at most {settings.max_steps}"
        raise InvalidSpecError(f"{detail} (EMBEDREEL_MAX_STEPS).", field="train.steps")
    if spec.capture.probe_size > settings.max_probe_size:
        detail = f"probe_size is {spec.capture.probe_size}, but this service takes at most {settings.max_probe_size}"
        raise InvalidSpecError(f"{detail} (EMBEDREEL_MAX_PROBE_SIZE).", field="capture.probe_size")


def check_film(settings: Settings, spec: RunSpec) -> None:
    """Check the number of pixels of a run's film.

    Raises:
        InvalidSpecError: the film has too many pixels.
    """
    width, height = spec.render.width, spec.render.height
    frames = spec.capture.frames + (spec.capture.frames - 1) * spec.render.tween
    if (pixels := width * height * frames) > settings.max_film_pixels:
        raise InvalidSpecError(
            f"The film has {pixels:,} pixels, {width} x {height} x {frames} frames, but this service draws at most "
            f"{settings.max_film_pixels:,} (EMBEDREEL_MAX_FILM_PIXELS). Ask for less width, height, frames or tween.",
            field="render.width",
        )


def check_runs(settings: Settings, session: Session, *, tenant: str) -> None:
    """Check that the tenant may have one more run in flight.

    Call this in the transaction that adds the run, before any lock is taken.

    Raises:
        QuotaExceededError: the tenant already has the maximum number of runs in flight.
    """
    most = settings.max_runs_in_flight
    if most and (running := runs.in_flight(session, tenant=tenant)) >= most:
        raise QuotaExceededError(
            f"{running} runs are queued or running, and this service takes at most {most} at a time "
            "(EMBEDREEL_MAX_RUNS_IN_FLIGHT). Wait until one has ended, or cancel one.",
            wait_seconds=RUNS_WAIT_SECONDS,
        )


def check_datasets(settings: Settings, session: Session, *, tenant: str) -> None:
    """Check that the tenant may store one more dataset.

    Raises:
        QuotaExceededError: the tenant already stores the maximum number of datasets.
    """
    most = settings.max_datasets
    if most and (stored := datasets.count(session, tenant=tenant)) >= most:
        raise QuotaExceededError(
            f"{stored} datasets are stored, and this service keeps at most {most} (EMBEDREEL_MAX_DATASETS). Delete "
            "a dataset that you do not need: films that were made from it stay."
        )


def check_space(settings: Settings, store: ArtifactStore) -> None:
    """Check that the disk of the artifacts has `min_free_bytes` free. Object stores are not checked.

    Raises:
        InsufficientStorageError: less is free.
    """
    free = store.objects.free_bytes() if settings.min_free_bytes else None
    if free is not None and free < settings.min_free_bytes:
        raise InsufficientStorageError(
            f"{free / GIB:.2f} GiB are free for artifacts, and this service accepts no new work with less than "
            f"{settings.min_free_bytes / GIB:.2f} (EMBEDREEL_MIN_FREE_BYTES). {MAKE_ROOM}"
        )
