"""The main job, end to end: run, checkpoint, score, leaderboard, pictures."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from disbench.benchmark import protocols
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Status
from disbench.benchmark.scoring import sources
from disbench.benchmark.sweep import plan
from disbench.benchmark.sweep.cell import run_group
from disbench.files import read_json, write_json
from disbench.leaderboards import sheets
from disbench.models import load_checkpoint

QUICK = ["--protocol", "smoke", "--jobs", "1", "--set", "betavae.steps=6", "--set", "betavae.batch=4"]


def one(run, seed=0):
    (folder,) = run.glob(f"betavae-*/seed-{seed}")
    return folder


def test_a_run_leaves_what_it_promises(quick_run):
    for seed in (0, 1):
        names = {path.name for path in one(quick_run, seed).iterdir()} - {".lock"}
        assert names == {
            *("cell.json", "status.json", "metrics.jsonl", "checkpoint.pt", "codes.npz"),
            *("scores.json", "traversal.png", "traversal.gif", "reconstructions.png"),
        }
        assert Status.read(one(quick_run, seed)).state == "done"
    cell = json.loads((one(quick_run) / "cell.json").read_text())
    assert cell["cell"]["config"]["steps"] == 6
    assert cell["environment"]["torch"] == torch.__version__


def test_the_leaderboard_holds_every_method_and_metric_and_agrees_with_the_seeds(quick_run):
    board = pd.read_csv(quick_run / "leaderboard.csv")
    seeds = pd.read_csv(quick_run / "scores.csv")
    assert list(board["metric"]) == ["beta_vae", "factor_vae"]
    assert set(board["n"]) == {2}
    for row in board.itertuples():
        values = seeds.loc[seeds["metric"] == row.metric, "score"]
        assert row.mean == pytest.approx(values.mean())
        assert row.best == values.max()


def test_score_gives_the_numbers_of_the_leaderboard(quick_run, disbench):
    code, out, _ = disbench("score", one(quick_run) / "checkpoint.pt", "--json")
    assert code == 0
    found = json.loads(out)["details"][0]["scores"]
    stored = json.loads((one(quick_run) / "scores.json").read_text())
    for entry in (*found, *stored):
        entry.pop("seconds")
        # a second score of other codes, which is for people who look at one model
        entry.pop("beside", None)
    assert found == stored


def test_score_takes_other_metrics_and_presets(quick_run, disbench):
    code, out, _ = disbench(
        "score", one(quick_run) / "checkpoint.pt", "--metrics", "factor_vae:ibgan,mig", "--json"
    )
    assert code == 0
    assert [(e["metric"], e["preset"]) for e in json.loads(out)["details"][0]["scores"]] == [
        ("factor_vae", "ibgan"),
        ("mig", "dlib"),
    ]


def test_running_again_repeats_nothing(quick_run, disbench):
    before = {path: path.stat().st_mtime_ns for path in quick_run.glob("*/seed-*/*")}
    code, out, _ = disbench("run", "--methods", "betavae", "--seeds", 2, "--out", quick_run, *QUICK)
    assert code == 0
    assert {path: path.stat().st_mtime_ns for path in quick_run.glob("*/seed-*/*")} == before
    assert "beta_vae" in out


def test_more_seeds_extend_a_run(quick_run, disbench):
    kept = (one(quick_run) / "checkpoint.pt").stat().st_mtime_ns
    assert disbench("run", "--methods", "betavae", "--seeds", 3, "--out", quick_run, *QUICK)[0] == 0
    assert (one(quick_run) / "checkpoint.pt").stat().st_mtime_ns == kept
    assert set(pd.read_csv(quick_run / "leaderboard.csv")["n"]) == {3}


def test_a_seed_is_the_same_alone_and_among_others_and_in_worker_processes(quick_run, disbench, tmp_path):
    alone, pooled = tmp_path / "alone", tmp_path / "pooled"
    assert disbench("run", "--methods", "betavae", "--seeds", "1,", "--out", alone, *QUICK)[0] == 0
    at_once = ["2" if word == "1" else word for word in QUICK]
    assert disbench("run", "--methods", "betavae", "--seeds", "1,4", "--out", pooled, *at_once)[0] == 0
    weights = [
        torch.load(one(run, 1) / "checkpoint.pt", weights_only=True)["weights"]
        for run in (quick_run, alone, pooled)
    ]
    for name, tensor in weights[0].items():
        assert all(torch.equal(tensor, other[name]) for other in weights[1:])


class Impatient(plan.Options):
    """Asks to stop at the fourth look: before the start, then after each step."""

    looks: ClassVar[int] = 0

    def asked_to_stop(self):
        Impatient.looks += 1
        return Impatient.looks == 4


def test_a_stopped_run_goes_on_to_the_same_weights(quick_run, tmp_path, monkeypatch):
    monkeypatch.setattr("disbench.benchmark.sweep.cell.ASK_EVERY", 0.0)
    setting = protocols.get("smoke")
    (cell,) = [cell for cell, _ in store.cells(quick_run) if cell.seed == 0]
    other = store.open_run(tmp_path / "other")
    assert run_group(other, [cell], setting, Impatient()) == ["stopped"]
    assert Status.read(other / cell.folder).state == "stopped"
    assert Status.read(other / cell.folder).step == 3
    assert not (other / cell.folder / "checkpoint.pt").exists()
    assert run_group(other, [cell], setting, plan.Options()) == ["done"]
    a, b = (torch.load(run / cell.folder / "checkpoint.pt", weights_only=True) for run in (quick_run, other))
    assert all(torch.equal(a["weights"][k], b["weights"][k]) for k in a["weights"])
    lines = [store.read_lines(run / cell.folder / "metrics.jsonl") for run in (quick_run, other)]
    assert lines[0] == lines[1]
    assert not (other / cell.folder / "state.pt").exists()


def test_fused_seeds_leave_what_single_ones_leave(quick_run, disbench, tmp_path):
    run, together = tmp_path / "fused", ("--fuse", 2, "--strategy", "stacked")
    code, _, err = disbench("run", "--methods", "betavae", "--seeds", 2, *together, "--out", run, *QUICK)
    assert code == 0, err
    assert {p.relative_to(run) for p in run.rglob("*")} == {
        p.relative_to(quick_run) for p in quick_run.rglob("*")
    }
    for seed in (0, 1):
        a, b = (
            torch.load(one(r, seed) / "checkpoint.pt", weights_only=True)["weights"] for r in (run, quick_run)
        )
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-4)


def test_a_diverged_seed_is_a_row_that_says_so(disbench, tmp_path):
    hot = ["--set", "betavae.lr=1e30", "--set", "betavae.optimizer=adagrad"]
    arguments = ["run", "--methods", "betavae,vae", "--seeds", 1, "--out", tmp_path / "r", *QUICK, *hot]
    code, out, _ = disbench(*arguments, "--set", "vae.steps=2", "--set", "vae.batch=4")
    assert code == 1
    assert "betavae seed 0 failed" in out
    error = Status.read(one(tmp_path / "r")).error
    assert error.type == "DivergedError"
    assert error.step >= 1
    assert error.term.startswith(("loss.", "weight"))
    board = pd.read_csv(tmp_path / "r" / "leaderboard.csv").set_index(["method", "metric"])
    assert board.loc[("betavae", "factor_vae"), "failed"] == 1
    assert board.loc[("betavae", "factor_vae"), "n"] == 0
    assert pd.isna(board.loc[("betavae", "factor_vae"), "mean"])
    assert board.loc[("vae", "factor_vae"), "n"] == 1
    assert not list((tmp_path / "r").glob("betavae-*/seed-0/checkpoint.pt"))
    seeds = pd.read_csv(tmp_path / "r" / "scores.csv")
    assert "not finite" in seeds.loc[seeds["method"] == "betavae", "reason"].iloc[0]


def test_traverse_writes_a_png_and_a_gif_that_open(quick_run, disbench, tmp_path):
    code, out, _ = disbench(
        "traverse", one(quick_run) / "checkpoint.pt", "--out", tmp_path / "t", "--steps", 5
    )
    assert code == 0
    png, gif = (Image.open(path) for path in out.split())
    assert png.format == "PNG"
    assert png.size[1] > 10 * 64  # ten codes
    assert gif.format == "GIF"
    assert gif.n_frames == 8  # five there, three back
    assert gif.width >= 960


def test_a_dot_in_the_name_of_pictures_is_no_extension(quick_run, disbench, tmp_path):
    """Pictures of beta-0.5 and beta-0.1 were one file, beta-0.png."""
    checkpoint = one(quick_run) / "checkpoint.pt"
    for name, stem in (("beta-0.5", "beta-0.5"), ("beta-0.1", "beta-0.1"), ("t.png", "t"), ("u.GIF", "u")):
        named = ("--out", tmp_path / name)
        code, out, _ = disbench("traverse", checkpoint, "--steps", 2, *named)
        assert (code, out.split()) == (0, [str(tmp_path / f"{stem}.{kind}") for kind in ("png", "gif")])
        code, out, _ = disbench("samples", checkpoint, "--count", 1, *named)
        assert (code, out.split()) == (0, [str(tmp_path / f"{stem}.png")])
    assert {path.stem for path in tmp_path.glob("*.png")} == {"beta-0.5", "beta-0.1", "t", "u"}


def test_traverse_from_a_row_over_a_range(quick_run, disbench, tmp_path):
    """The first and last picture of each code are those of the ends, all else as in that row."""
    checkpoint = one(quick_run) / "checkpoint.pt"
    out = tmp_path / "t"
    code, _, _ = disbench("traverse", checkpoint, "--out", out, "--steps", 3, "--range=-1,4", "--start", 7)
    assert code == 0
    method, data, _ = sources.revive(load_checkpoint(checkpoint), "cpu", None)
    with torch.no_grad():
        latents = method.represent(data.images([7])).repeat(2, 1)
        latents[:, 1] = torch.tensor([-1.0, 4.0])
        expected = sheets.enlarged(method.generate(latents).numpy())
    sheet = sheets.read(out.with_suffix(".png"))
    row = sheet.rows[list(sheet.labels).index("z1")]
    # a collapsed code is in grey, which the eight bits of the file round
    np.testing.assert_allclose(row[[0, 2]].astype(int), expected.astype(int), atol=1)
    assert sheet.heads[0] == ["-1", "2", "4"]
    assert (sheet.start == sheets.enlarged(data.images([7]).numpy())[0]).all()


def test_list_names_everything(disbench):
    assert "betavae" in disbench("list", "methods")[1]
    assert "factor_vae" in disbench("list", "metrics")[1]
    assert "dsprites" in disbench("list", "datasets")[1]
    assert "smoke" in disbench("list", "protocols")[1]


def test_every_protocol_resolves():
    for name in protocols.names():
        assert protocols.get(name).metrics


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(tmp_path):
    """SIGKILL to one of two workers while it trains: every seed is done in the end, and is the same."""
    run, few = tmp_path / "r", tmp_path / "few.npz"
    factors = np.stack(np.unravel_index(np.arange(24), (2, 3, 4)), 1)
    np.savez(few, images=np.random.default_rng(0).integers(0, 255, (24, 32, 32), np.uint8), factors=factors)
    arguments = (
        "run --methods betavae --seeds 3 --protocol smoke --set betavae.steps=200 --set betavae.batch=4"
    )
    where = ["--dataset", str(few), "--jobs", "2", "--out", str(run)]
    command = [sys.executable, "-m", "disbench", *arguments.split(), *where]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    killed = None
    deadline = time.monotonic() + 600
    while killed is None and time.monotonic() < deadline and process.poll() is None:
        for path in run.glob("*/seed-*/status.json"):
            status = read_json(path) or {}
            if status.get("phase") == "training" and status.get("process") != process.pid:
                killed = status["process"]
                os.kill(killed, signal.SIGKILL)
                break
        time.sleep(0.02)
    out, _ = process.communicate(timeout=900)
    assert killed is not None, out
    assert process.returncode == 0, out
    cells = store.cells(run)
    assert [Status.read(folder).state for _, folder in cells] == ["done"] * 3
    cell, folder = cells[0]
    other = store.open_run(tmp_path / "other")
    assert run_group(other, [cell], protocols.get("smoke"), plan.Options()) == ["done"]
    a, b = (torch.load(f / "checkpoint.pt", weights_only=True) for f in (folder, other / cell.folder))
    assert all(torch.equal(a["weights"][k], b["weights"][k]) for k in a["weights"])


def test_status_tells_the_truth(quick_run, disbench):
    """A cell that says it is running while no process holds it was stopped."""
    write_json(one(quick_run, 0) / "status.json", {"state": "running", "step": 3, "steps": 6})
    write_json(one(quick_run, 1) / "status.json", {"state": "failed", "error": {"message": "too hot"}})
    code, out, _ = disbench("status", quick_run)
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("│ betavae")]
    assert [word.strip() for word in line.strip("│").split("│")] == [
        *("betavae", "◌✗", "0", "0", "1", "1", "–"),
    ]
    assert "betavae seed 1 failed: too hot" in out


def test_status_says_that_it_knows_begun_seeds_alone(quick_run, disbench, tmp_path):
    """Nothing in the folder tells of the others: of a sweep of hours it showed the minutes of one seed."""
    assert "not begun" not in disbench("status", quick_run)[1]
    write_json(one(quick_run, 0) / "status.json", {"state": "stopped", "step": 3, "steps": 6})
    assert "seeds that have not begun are not counted" in disbench("status", quick_run)[1]
    code, out, _ = disbench("status", store.open_run(tmp_path / "empty"), "--json")
    assert code == 0
    assert "not begun" in json.loads(out)["tables"][0]["notes"][0]


def test_a_saved_state_that_cannot_be_read_fails_its_seed_alone(quick_run):
    (zero, folder), (one_, other) = store.cells(quick_run)
    for path in (folder, other):
        for name in ("checkpoint.pt", "scores.json", "status.json"):
            (path / name).unlink()
    (folder / "state.pt").write_bytes(b"cut")
    outcomes = run_group(quick_run, [zero, one_], protocols.get("smoke"), plan.Options())
    assert outcomes == ["failed", "done"]
    assert "state.pt" in Status.read(folder).error.message
