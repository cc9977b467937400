"""Each observer records the same inline, offloaded to other workers, and in a resumed training."""

import dataclasses
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from core.domain.plan import build
from core.domain.spec import CaptureSpec, PinnedSources, RunSpec, TrainSpec
from core.observe import OBSERVERS
from core.store.objects import codecs
from testing.claims import claim_of
from worker.context import StageContext, StoppedError
from worker.job import Job
from worker.stages import STAGES

FRAMES = 3


def spec(mode):
    return RunSpec(
        name="digits",
        dataset="digits",
        train=TrainSpec(steps=4, batch_size=16, train_size=32),
        capture=CaptureSpec(frames=FRAMES, probe_size=20, mode=mode),
        pinned=PinnedSources(dataset_digest="digits-v1"),
    )


class Attempt:
    """One task of a run in this process. `folders` are the folders of its parts, by frame."""

    def __init__(self, works, mode, stage, output, *, inputs=None, state=None, stop_at=None):
        output.mkdir(parents=True)
        self.folders, self.states, self._stop_at = {}, [], stop_at
        job = Job(
            claim=claim_of(spec(mode), stage, state=state),
            output=output,
            settings=works.settings.model_copy(update={"state_seconds": 3600.0}),
            inputs=inputs or {},
        )
        self.ctx = StageContext(job, works.store, self._report)

    def _report(self, kind, **message):
        if kind == "state":
            self.states.append(message["folder"])
        if kind == "part":
            self.folders[int(message["part_id"].rpartition("/")[2])] = self.ctx.beside(message["part_id"])
            if message["part_id"] == self._stop_at:
                self.ctx.stop_requests.append(time.monotonic())


def trained(works, mode, folder, **options):
    attempt = Attempt(works, mode, "fine_tune", folder / "output", **options)
    with suppress(StoppedError):
        STAGES["fine_tune"](attempt.ctx)
    return attempt


@pytest.fixture(scope="module")
def frames(works, tmp_path_factory):
    """Folders of the frames, written by each way of capturing."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("ways")
    inline = trained(works, "inline", root / "inline").folders
    begun = trained(works, "inline", root / "begun", stop_at="embed/00001")
    (stored,) = begun.states
    state = works.store.put(Path(stored), "1" * 64, run_id="run_stopped", token=1)
    resumed = begun.folders | trained(works, "inline", root / "resumed", state=state).folders
    offloaded = {}
    for index, folder in trained(works, "offload", root / "offload").folders.items():
        (key,) = build(spec("offload")).released_to(f"embed/{index:05d}")
        inputs = {key: works.store.put(folder, key, run_id="run_offload", token=1)}
        stage = Attempt(works, "offload", f"embed/{index:05d}", root / f"frame-{index}", inputs=inputs)
        STAGES["embed"](stage.ctx)
        offloaded[index] = stage.ctx.output
    torch.set_num_threads(before)
    return {"inline": inline, "resumed": resumed, "offloaded": offloaded}


@pytest.mark.parametrize("way", ["resumed", "offloaded"])
@pytest.mark.parametrize("observer", OBSERVERS, ids=lambda observer: observer.folder)
def test_observers__each_way_of_capturing_records_the_same(frames, observer, way):
    assert sorted(frames[way]) == sorted(frames["inline"]) == list(range(FRAMES))
    for index in range(FRAMES):
        expected, found = (
            codecs.load(one[index] / observer.folder, observer.kind) for one in (frames["inline"], frames[way])
        )
        for field in dataclasses.fields(expected):
            np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name), err_msg=field.name)


def test_observers__each_way_of_capturing_writes_a_folder_for_each(frames):
    for folders in frames.values():
        for folder in folders.values():
            assert sorted(path.name for path in folder.iterdir()) == sorted(one.folder for one in OBSERVERS)
