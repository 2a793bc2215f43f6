"""What is told of a sweep while it runs."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from disbench.benchmark import protocols
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.sweep import progress
from disbench.files import write_json
from disbench.models.checkpoint import save_tensors


def cell(method, seed, steps=100):
    return Cell(method, "", "mini", {"steps": steps}, DataRef("x", 32, ""), "smoke", seed)


def seed(method, number, state, step, training, seconds):
    return progress.Seed(cell(method, number), method, state, "", step, training, seconds)


@pytest.mark.parametrize(
    ("durations", "jobs", "expected"),
    [
        ([3, 2, 1], 1, [3, 5, 6]),
        ([3, 2, 1], 2, [3, 2, 3]),  # the third begins when the second ends
        ([4, 1, 1, 1], 2, [4, 1, 2, 3]),
        ([], 2, []),
        ([3, 2], 10**12, [3, 2]),
    ],
)
def test_when_pieces_of_work_end(durations, jobs, expected):
    assert progress.ends(durations, jobs) == expected


VAE, GAN = (cell(method, 0).training for method in ("vae", "gan"))


def test_what_is_left_by_hand():
    """vae: 0.4 s a step and 10 s beside; gan: 2 s a step, and beside as long as the vae."""
    seeds = [
        seed("vae", 0, "done", 100, 40.0, 50.0),
        seed("vae", 1, "queued", 0, 0.0, 0.0),  # 40 + 10 s
        seed("gan", 0, "running", 20, 40.0, 43.0),  # 160 + 7 s, goes first
        seed("gan", 1, "queued", 0, 0.0, 0.0),  # 200 + 10 s
    ]
    assert progress.remaining(seeds, 1) == progress.Left({VAE: 217.0, GAN: 427.0}, True)
    assert progress.remaining(seeds, 2) == progress.Left({VAE: 50.0, GAN: 260.0}, True)
    assert str(progress.remaining(seeds, 2)) == "about 4 min left"


def test_a_method_that_has_not_begun_takes_as_long_as_the_others():
    seeds = [seed("vae", 0, "done", 100, 40.0, 50.0), seed("gan", 0, "queued", 0, 0.0, 0.0)]
    assert progress.remaining(seeds, 1).seconds[GAN] == 50.0


def test_before_the_first_seed_is_finished_the_time_of_scoring_is_unknown():
    training, scoring = seed("vae", 0, "running", 50, 20.0, 21.0), seed("vae", 1, "running", 100, 40.0, 60.0)
    assert progress.remaining([seed("vae", 0, "running", 0, 0.0, 3.0)], 1) is None
    assert progress.remaining([seed("vae", 0, "running", 1, 0.0, 3.0)], 1) is None
    assert str(progress.remaining([training, scoring], 2)) == "over 20 s left"
    assert progress.remaining([scoring], 1) is None


def test_failed_seeds_are_not_waited_for():
    seeds = [seed("vae", 0, "done", 100, 40.0, 50.0), seed("vae", 1, "failed", 7, 800.0, 900.0)]
    assert str(progress.remaining(seeds, 1)) == "about 0 s left"


@pytest.fixture
def tally(tmp_path):
    """32 seeds of nine methods; the first has one done, one running, one left running by a killed sweep."""
    run = store.open_run(tmp_path / "r")
    cells = [cell(f"method{m}", s) for s in range(32) for m in range(9)]
    status = {"steps": 100, "seconds": 30.0, "training": 25.0}
    zero, one, two = (run / cell("method0", s).folder for s in range(3))
    write_json(zero / "status.json", {**status, "state": "done", "step": 100})
    write_json(two / "status.json", {**status, "state": "running", "phase": "training", "step": 7})
    with store.hold(one):
        write_json(one / "status.json", {**status, "state": "running", "phase": "training", "step": 40})
        found = progress.Tally(run, cells, 2)
    found.end(cells[0], "done")
    found.end(cell("method1", 0), "failed")
    found.look()
    return found


def drawn(tally, encoding="utf-8"):
    console = Console(file=io.StringIO(), width=120)
    console.print(progress.tree(tally, 61.0, encoding))
    return console.file.getvalue().splitlines()


def test_the_tree_is_readable_with_32_seeds_of_nine_methods(tally):
    lines = drawn(tally)
    assert len(lines) == 1 + 9 + 1  # title, methods, the one seed at work
    assert all(len(line) <= 110 for line in lines)
    assert lines[0].startswith("2 of 288 seeds, 61 s so far, about ")
    assert "method0  ●◐◌" + "·" * 29 + "  1/32  147 of 3,200 steps" in lines[1]
    assert "seed 1   training  40 of 100" in lines[2]
    assert "method1  ✗" + "·" * 31 + "  1/32" in lines[3]


def test_a_terminal_without_unicode_gets_other_signs(tally):
    assert "method0  #>-" + "." * 29 in drawn(tally, "ascii")[1]


def test_elsewhere_it_is_one_line(tally):
    line = progress.as_line(tally, 61.0)
    assert line.startswith("   61 s  method0 1/32 seeds, 147/3,200 steps; method1 1/32 seeds")
    assert line.endswith(" left")


def test_the_live_view_ends_with_its_block(tmp_path):
    run = store.open_run(tmp_path / "r")
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress.watched(run, [cell("vae", 0)], console, 1) as tally:
        tally.end(cell("vae", 0), "done")
        console.print("said in between")
    assert "said in between" in console.file.getvalue()


def test_seeds_that_are_done_and_taken_again_are_not_counted_as_done(tmp_path):
    """One has all, one lacks its scores, one its checkpoint too, one has scores and no checkpoint."""
    run, cells = store.open_run(tmp_path / "r"), [cell("vae", s) for s in range(5)]
    chosen = MetricChoice(name="mig", preset="dlib")
    protocol = protocols.get("smoke").model_copy(update={"metrics": (chosen,), "unlabelled": (chosen,)})
    status = {"state": "done", "step": 100, "seconds": 30.0, "training": 20.0}
    for one in cells[:4]:
        write_json(run / one.folder / "status.json", status)
    for one in (cells[0], cells[1]):
        save_tensors({}, run / one.folder / "checkpoint.pt")
    for one in (cells[0], cells[3]):
        store.write_scores(run / one.folder, [replace(ScoreEntry.pending(chosen), score=0.5)])
    again = progress.taken_again(run, cells, protocol, retry_failed=False)
    assert again == {cells[1]: False, cells[2]: True, cells[3]: True}
    (said,) = progress.of_training_anew(again)
    assert said == ("2 seeds that ended have no whole checkpoint.pt and train anew: vae seed 2, vae seed 3")
    tally = progress.Tally(run, cells, 1, again)
    tally.look()
    assert "vae  ●····  1/5  200 of 500 steps" in drawn(tally)[1]
    # 3 x 20 s of training and 4 x 10 s of scoring
    assert tally.left().seconds == {cells[0].training: pytest.approx(100)}
    write_json(run / cells[2].folder / "status.json", status | {"state": "running", "step": 7})
    tally.look()
    assert tally.seeds[cells[2]].state == "running"
    assert tally.seeds[cells[3]].state == "queued"
