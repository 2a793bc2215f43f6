"""A choice that is kept with its run, and when it is outdated."""

import json

import pandas as pd
import pytest

from disbench.benchmark.runs import choices, rows, store
from disbench.benchmark.runs.choices import Choice
from disbench.leaderboards import aggregate


@pytest.fixture
def choice(writer):
    folders = [str(writer.done(seed).relative_to(writer.run)) for seed in (2, 0, 1)]
    return Choice(
        method="vae",
        by="udr:dlib",
        settings={"alpha": 0.1},
        folders=folders,
        scores=[0.5, 0.4, 0.3],
        pairwise=[[None, 0.5, 0.4], [0.5, None, 0.3], [0.4, 0.3, None]],
    )


def test_it_reads_back_and_marks_the_chosen_seed(writer, choice):
    assert choice.write(writer.run).name == "choice-vae-udr-dlib.json"
    assert choices.read(writer.run) == ([choice], [])
    frame, notes = rows.gather([writer.run])
    assert notes == []
    marked = frame[frame["chosen_by"] != "{}"]
    assert set(marked["seed"]) == {2}
    assert {json.loads(text)["udr:dlib"] for text in marked["chosen_by"]} == {3}


def test_it_is_outdated_once_there_are_other_models(writer, choice):
    choice.write(writer.run)
    writer.done(1, method="betavae")  # another method changes nothing
    assert rows.gather([writer.run])[1] == []
    writer.failed(3, "died")
    assert rows.gather([writer.run])[1] == []
    writer.done(4)
    frame, notes = rows.gather([writer.run])
    assert set(frame["chosen_by"]) == {"{}"}
    assert "choice-vae-udr-dlib.json was made of other models than there are now" in notes[0]
    assert f"`disbench leaderboard {writer.run} --select udr:dlib`" in notes[0]


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"method": "vae"}'])
def test_a_damaged_file_is_none_and_named(writer, choice, damage):
    choice.write(writer.run).write_text(damage)
    found, (sentence,) = choices.read(writer.run)
    assert found == []
    assert "choice-vae-udr-dlib.json" in sentence
    assert "--select METRIC`" in sentence
    whole = choice.model_dump()
    hostile = [("method", "\x1b[2J"), ("by", "udr"), ("by", "udr:[red]`x`"), ("by", "udr:dlib\n")]
    for name, value in (("folders", []), ("folders", "x"), ("scores", ["a"]), ("other", 1), *hostile):
        (writer.run / choice.file).write_text(json.dumps({**whole, name: value}))
        assert choices.read(writer.run)[0] == []
    assert choices.current(writer.run, store.records(writer.run))[0] == {}


def test_a_choice_that_one_of_two_runs_knows_is_kept(writer, choice, tmp_path):
    """The seeds are in both and count once."""
    frame, _ = rows.gather([writer.run])
    choice.write(writer.run)
    marked, _ = rows.gather([writer.run])
    both = aggregate.ordered(pd.concat([frame.assign(run="a"), marked.assign(run="b")]))
    merged, repeated = aggregate.deduplicated(both)
    assert len(merged) == len(frame)
    assert set(merged[merged["chosen_by"] != "{}"]["seed"]) == {2}
    assert repeated[0].seeds == [0, 1, 2]
