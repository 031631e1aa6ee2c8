"""SIGKILL at the boundaries of a run: before and after every warehouse statement and every step of a socket."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from revetl.errors import ExitCode
from tests.bars import Bar
from tests.crash.jobs import Job, perform
from tests.crash.scenes import SCENES, Stage
from tests.crash.zygote import Zygote
from tests.suites.conftest import SPLIT

SEED = 7
SAMPLE = 4  # boundaries of each scene and engine that are tried where it is not all of them


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_uri: str) -> Path:
    """The folder where runs of this test put their temporary files."""
    folder = tmp_path / "pages"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class Sweep:
    """One scene on one stage."""

    def __init__(self, stage: Stage, zygote: Zygote, scene: str, folder: Path) -> None:
        self.stage, self.zygote, self.scene, self.out = stage, zygote, scene, folder / "child.txt"
        stage.kill = self.kill

    def kill(self, job: Job, where: tuple[str, str], at: int) -> None:
        """A run that dies at the n-th boundary of this name."""
        [pid] = self.zygote.start(job, at=at, where=where, out=self.out)
        assert self.zygote.wait(pid).code == signal.SIGKILL

    def once(self, n: int) -> int:
        """Play the scene, with a death at the n-th boundary; the number of boundaries if it got through, else 0."""
        stage = self.stage
        stage.round += 1
        job = SCENES[self.scene](stage)
        stage.remember()
        mark = len(stage.journal.taken)
        [pid] = self.zygote.start(job, at=n, out=self.out)
        news = self.zygote.wait(pid)
        sent = stage.journal.keys(mark)
        told = self.out.read_text()
        died = (news.state, news.code) == ("signal", signal.SIGKILL)
        assert died or (news.state == "exit" and news.code in {0, 1}), told
        facts = json.loads(told.splitlines()[-1])
        left = bool(job.tmp) and any(Path(job.tmp).glob("revetl-pages-*/rows.json"))
        label = f"{self.scene}, killed at boundary {n} {facts.get('died', '')}"
        stage.heal(job, sent, label=label)
        if not died:
            return int(facts["boundaries"])
        stage.kills += 1
        stage.pages_left += left
        stage.seen[tuple(facts["died"])] += 1
        return 0


def play(sweep: Sweep, *, every: bool) -> int:
    """All boundaries, or a sample of them; how many a run has."""
    if sweep.scene != "first load":
        assert perform(sweep.stage.base).exit_code == ExitCode.OK
    boundaries = sweep.once(0)
    chosen = range(1, boundaries + 1) if every else range(1 + SEED % 5, boundaries, max(1, boundaries // SAMPLE))
    for n in chosen:
        if found := sweep.once(n):  # it got through: it must have had no n-th boundary
            assert found < n
    while every and not (found := sweep.once(boundaries + 1)):
        boundaries += 1
    return boundaries if not every else max(boundaries, found)


def tell(bar: Bar, stage: Stage, where: str, boundaries: int) -> None:
    of = f"{stage.kills} kills ({where}, {boundaries} boundaries a run)"
    bar(1, "rows lost or wrong after a kill and one clean run", found=stage.wrong, goal="0", of=of, seed=SEED)
    bar(1, "events with another number of effects than one", found=stage.doubled, goal="0", of=of, seed=SEED)
    bar(1, "kills", found=stage.kills, goal="≥ 1,000 in all scenes of the soak", of=where, seed=SEED)
    bar(2, "most rows sent again after a kill", found=stage.most_resent, goal=f"≤ {stage.base.chunk}, one chunk", of=of)
    bar(2, "acknowledged rows sent again", found=stage.acknowledged_resent, goal="0", of=of, seed=SEED)
    assert (stage.wrong, stage.doubled, stage.acknowledged_resent) == (0, 0, 0)
    assert stage.most_resent <= stage.base.chunk


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_kill_is_repaired_by_one_clean_run(
    scene: str, engine: str, stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, bar: Bar
) -> None:
    """A sample of the boundaries."""
    stage = stage_on(engine)
    boundaries = play(Sweep(stage, zygote, scene, tmp_path), every=False)
    assert stage.kills >= SAMPLE - 1
    tell(bar, stage, f"{scene} on {engine}, a sample", boundaries)


@pytest.mark.more
@pytest.mark.parametrize("engine", SPLIT)
@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene != "unknown before"])  # whose SQL joins both engines
def test_a_kill_is_repaired_where_the_state_is_elsewhere(
    scene: str, engine: str, stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, pages: Path, bar: Bar
) -> None:
    """A sample of the boundaries, those of both engines; and the pages that a dead run left are gone after the next one."""
    stage = stage_on(engine)
    stage.base = replace(stage.base, tmp=str(pages))
    boundaries = play(Sweep(stage, zygote, scene, tmp_path), every=False)
    assert stage.kills >= SAMPLE - 1
    assert list(pages.iterdir()) == []
    tell(bar, stage, f"{scene}, {engine}, a sample", boundaries)


@pytest.mark.soak
@pytest.mark.parametrize("engine", SPLIT)
@pytest.mark.parametrize("scene", ["first load", "steady"])
def test_a_kill_at_any_boundary_is_repaired_where_the_state_is_elsewhere(
    scene: str, engine: str, stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, pages: Path, bar: Bar
) -> None:
    """All of them, those of both engines."""
    stage = stage_on(engine)
    stage.base = replace(stage.base, tmp=str(pages))
    boundaries = play(Sweep(stage, zygote, scene, tmp_path), every=True)
    assert boundaries >= stage.kills > 60
    assert list(pages.iterdir()) == []
    assert bool(stage.pages_left) == (engine == "postgres > duckdb")
    tell(bar, stage, f"{scene}, {engine}, every boundary", boundaries)


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_kill_at_any_boundary_is_repaired_by_one_clean_run(
    scene: str, engine: str, stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, bar: Bar
) -> None:
    """All of them."""
    stage = stage_on(engine)
    boundaries = play(Sweep(stage, zygote, scene, tmp_path), every=True)
    assert boundaries >= stage.kills > 60  # later runs of a scene may have fewer than its first
    tell(bar, stage, f"{scene} on {engine}, every boundary", boundaries)
