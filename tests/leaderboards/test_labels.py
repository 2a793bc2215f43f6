"""How rows are called, and that no two trainings on one data set share a name."""

import numpy as np
import pandas as pd

from disbench.leaderboards import aggregate, journals, labels, plots, shown


def row(method="vae", settings="mini", cell="aaaa", plugin="", dataset="dsprites-32", variant="", **rest):
    about = {"dataset": dataset, "protocol": "mini", "method": method, "variant": variant}
    return {**about, "settings": settings, "cell": cell, "plugin": plugin, **rest}


def names(*rows):
    return labels.names(pd.DataFrame(rows))


def test_a_label_says_enough_where_nothing_else_bears_it():
    assert names(row(), row(method="gan", cell="b")) == ["vae", "gan"]
    assert names(row(variant="big"), row(cell="b")) == ["vae-big", "vae"]


def test_settings_then_plugins_then_cells_tell_trainings_apart():
    code = "my.py, sha256 {}0000000000000"
    assert names(row(), row(settings="mini, z=5", cell="b")) == ["vae (mini)", "vae (mini, z=5)"]
    assert names(row(plugin=code.format("abc")), row(plugin=code.format("def"), cell="b")) == [
        "vae (plug-in abc00000)",
        "vae (plug-in def00000)",
    ]
    assert names(row(), row(cell="b")) == ["vae (aaaa)", "vae (b)"]
    assert names(row(), row(settings="z", cell="b"), row(settings="z", cell="c"), row("gan")) == [
        "vae (mini)",
        "vae (z, b)",
        "vae (z, c)",
        "gan",
    ]


def test_a_training_has_one_name_on_every_data_set():
    """Cells differ from data set to data set, codes of plug-ins do not."""
    rows = [
        row(plugin=f"my.py, sha256 {code}", cell=f"{code}{data}", dataset=data)
        for data in ("a", "b")
        for code in ("1111", "2222")
    ]
    assert names(*rows) == ["vae (plug-in 1111)", "vae (plug-in 2222)"] * 2
    assert names(row(dataset="a"), row(dataset="b", cell="bbbb")) == ["vae", "vae"]


def test_rows_of_another_frame_are_called_as_they_are_called_there():
    whole = pd.DataFrame([row(), row(cell="b")])
    assert labels.names(whole[:1], of=whole) == ["vae (aaaa)"]


def test_a_folder_name_reads_back():
    assert labels.split_folder(labels.folder("elastic_infogan-ground-truth", "1a2b")) == (
        "elastic_infogan-ground-truth",
        "1a2b",
    )


def test_splits_are_one_family_and_two_trainings_on_a_split_stay_two():
    splits = [f"mnist:imbalanced-{i}-28" for i in range(3)]
    one = pd.DataFrame([row(dataset=name, cell=str(i)) for i, name in enumerate(splits)])
    assert labels.over_splits(one)[["dataset", "cell"]].drop_duplicates().to_numpy().tolist() == [
        ["mnist:imbalanced-*-28", ""]
    ]
    assert labels.measured_on(one["dataset"]) == "mnist:imbalanced-*-28"
    assert labels.measured_on(splits[:1]) == "mnist:imbalanced-0-28"
    two = pd.concat([one, one.assign(cell=["x", "y", "z"])])
    assert labels.over_splits(two)["cell"].nunique() == 6
    mixed = pd.DataFrame([row(), *one.to_dict("records")])
    assert labels.over_splits(mixed) is mixed


def scored(cell, score, **rest):
    more = {"metric": "mig", "preset": "dlib", "state": "done", "higher_is_better": True}
    return [row(cell=cell, seed=seed, score=score + seed / 100, **more, **rest) for seed in range(3)]


def test_pairs_ranks_and_notes_hold_two_trainings_of_one_method_apart():
    """By hand: the first always loses against beta-VAE (P = 0), the second always wins (P = 1)."""
    rows = []
    for data in ("a", "b"):
        rows += scored("low", 0.1, dataset=data) + scored("high", 0.8, dataset=data)
        rows += scored("beta", 0.5, dataset=data, method="betavae")
    frame = aggregate.scores(rows)
    pairs = aggregate.improvements(frame).set_index(["first", "second"])["probability"]
    assert pairs["betavae", "vae (high)"] == 0.0
    assert pairs["betavae", "vae (low)"] == 1.0
    ((_, ranks, _),) = aggregate.ranks(frame)
    assert ranks.mean.to_dict() == {"vae (high)": 1.0, "betavae": 2.0, "vae (low)": 3.0}
    by = ["method", "metric", "preset"]
    assert any("pools trainings of another code" in note for note in shown.pooled(frame, by))
    assert not any("another code" in note for note in shown.pooled(frame, aggregate.BY))
    failed = aggregate.scores([*rows, {**rows[0], "seed": 9, "score": None, "state": "failed"}])
    notes = shown.notes(failed, aggregate.leaderboard(failed))
    assert any(note.startswith("vae (low) failed with seed 9") for note in notes)


def test_a_strip_has_a_line_for_each_training():
    frame = aggregate.scores(scored("low", 0.1) + scored("high", 0.8))
    (axis,) = plots.strip(frame, aggregate.leaderboard(frame)).axes
    shown = [label.get_text().split("\n")[0] for label in axis.get_yticklabels()]
    assert sorted(shown) == ["VAE (high)", "VAE (low)"]


def test_training_curves_of_two_trainings_are_two_pictures():
    logged = pd.DataFrame([row(step=1), row(cell="b", step=1), row(method="gan", cell="c", step=1)])
    assert [name for name, _ in journals.trainings(logged)] == ["vae (aaaa)", "vae (b)", "gan (mini)"]


def test_trainings_on_two_data_sets_are_two_pictures_and_two_lines():
    logged = pd.DataFrame([row(step=1), row(dataset="mnist-28", cell="b", step=1)])
    titles = [title for title, _ in journals.trainings(logged)]
    assert titles == ["vae (mini) on dsprites-32", "vae (mini) on mnist-28"]
    values = [
        {**row, "seed": 0, "quantity": "kl", "steps": np.array([1.0]), "values": np.array([[1.0]])}
        for row in logged.to_dict("records")
    ]
    (axis,) = plots.compared(journals.named(pd.DataFrame(values)), "kl").axes
    assert [line.get_label() for line in axis.lines] == ["VAE on dsprites-32", "VAE on mnist-28"]


def test_places_are_in_a_name_only_where_they_differ():
    places = [("a", "mini"), ("b", "mini"), ("a", "paper")]
    assert labels.with_places(["vae", "gan"], [("a", "mini")] * 2) == ["vae", "gan"]
    assert labels.with_places(["vae", "gan"], places[:2]) == ["vae on a", "gan on b"]
    assert labels.with_places(["vae"] * 3, places) == [
        "vae on a under mini",
        "vae on b under mini",
        "vae on a under paper",
    ]
