"""The rows of a run, and the names of its trainings."""

from dataclasses import replace

from disbench.benchmark.runs import rows, store
from disbench.leaderboards import labels, scores


def test_names_tell_all_trainings_of_a_run_apart(writer):
    plain, wide = writer.cell(0), writer.cell(0, codes=5)
    other = writer.cell(0, method="betavae")
    assert rows.names([plain, writer.cell(1), other]) == {plain.training: "vae", other.training: "betavae"}
    assert rows.names([plain, wide]) == {plain.training: "vae (mini)", wide.training: "vae (mini, codes=5)"}


def test_names_add_the_data_set_where_a_run_has_several(writer):
    one, two = writer.cell(0), writer.cell(0, dataset="shapes3d")
    assert rows.names([one, two]) == {
        one.training: "vae on dsprites-32",
        two.training: "vae on shapes3d-32",
    }


def test_names_need_no_plug_in(writer):
    """`disbench status` shows a run whose plug-in is not loaded."""
    cells = [writer.cell(0, plugin=f"my.py, sha256 {digit}{'0' * 15}") for digit in (1, 2)]
    cells = [replace(cell, method="mine") for cell in cells]
    assert list(rows.names(cells).values()) == ["mine (plug-in 10000000)", "mine (plug-in 20000000)"]


def test_names_are_those_of_the_leaderboard(writer):
    for beta in (2.0, 3.0):
        writer.done(0, method="betavae", beta=beta)
    frame = scores(rows.score_rows(writer.run).rows)
    by_training = rows.names([writer.cell(0, method="betavae", beta=beta) for beta in (2.0, 3.0)])
    assert set(labels.names(frame)) == set(by_training.values())
    assert set(frame["folder"]) == {f"{training}/seed-0" for training in by_training}


def test_a_failed_cell_has_a_row_per_metric_with_its_reason(writer):
    writer.done(0)
    writer.failed(1, "loss.kl is not finite")
    frame = scores(rows.score_rows(writer.run).rows)
    failed, done = frame[frame["seed"] == 1], frame[frame["seed"] == 0]
    assert list(failed["metric"]) == list(done["metric"])
    assert set(failed["reason"]) == {"loss.kl is not finite"}
    assert set(failed["state"]) == {"failed"}
    assert failed["score"].isna().all()
    assert set(frame["changed"]) == {"{}"}
    assert set(frame["version"]) == {"0.1.0"}


def test_a_method_that_failed_as_a_whole_was_asked_what_others_beside_it_were(writer):
    """As by `run --metrics mig`: it was in the rows of the protocol's metrics, and in none of this one."""
    folder = writer.done(0, method="betavae")
    (mig,) = [entry for entry in store.scores(folder) if entry.metric == "mig" and entry.pictures is None]
    store.write_scores(folder, [mig])
    writer.failed(0, "loss.kl is not finite")
    frame = scores(rows.score_rows(writer.run).rows)
    assert list(zip(frame["method"], frame["metric"], strict=True)) == [("betavae", "mig"), ("vae", "mig")]
    # on other data it was asked what the protocol asks
    writer.failed(0, "loss.kl is not finite", dataset="shapes3d")
    frame = scores(rows.score_rows(writer.run).rows)
    assert len(set(frame[frame["dataset"] == "shapes3d-32"]["metric"])) > 1


def test_a_seed_that_is_a_copy_of_another_is_named(writer):
    """Copied, and edited to be seed 1: n and the intervals counted it, without a word."""
    folders = [writer.done(seed) for seed in (0, 1, 2)]
    # models that have collapsed score alike as well
    for folder, loss in zip(folders, (0.25, 0.25, 0.75), strict=True):
        (folder / "metrics.jsonl").write_text(f'{{"step": 1, "terms": {{"loss.kl": {loss}}}}}\n')
    (said,) = rows.score_rows(writer.run).odd
    assert said.startswith(f"{folders[0].parent.name}: seed 0, 1 are one model, by scores and journal")
    (folders[1] / "metrics.jsonl").unlink()
    assert not rows.score_rows(writer.run).odd
