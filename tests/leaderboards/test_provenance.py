"""`provenance.json` has one reader and one writer."""

import json

import pytest

from disbench.errors import UsageError
from disbench.leaderboards import results
from disbench.leaderboards.provenance import FILE, Cost, Environment, Provenance, Settings

WHOLE = Provenance(
    name="r",
    kept="2030-01-02T03:04:05+0000",
    kept_by={"disbench": "0.1.0", "commit": None},
    commands=["disbench run"],
    states={"done": 2},
    seconds=Cost(core=1.0, gpu=2.0, total=3.0, mean_by_method={"vae": 1.5}),
    data_sha256={"d-32": "ab"},
    protocols={"mini": {"name": "mini", "summary": "s"}},
    environments=[Environment({"python": "3.11", "device": "a cpu", "commit": None}, 2)],
    settings={"mine-1a2b": Settings("mine", "", {"beta": 4.0}, "mine.py, sha256 1")},
)


@pytest.mark.parametrize("name", results.names())
def test_a_saved_result_is_written_as_it_was_read(name, tmp_path):
    """Byte by byte: every key, in its order, of files that earlier versions wrote."""
    folder = results.FOLDER / name
    Provenance.read(folder).write(tmp_path)
    assert (tmp_path / FILE).read_bytes() == (folder / FILE).read_bytes()


def test_it_reads_back(tmp_path):
    WHOLE.write(tmp_path)
    assert Provenance.read(tmp_path) == WHOLE
    values = json.loads((tmp_path / FILE).read_text())
    assert values["environments"] == [{"python": "3.11", "device": "a cpu", "commit": None, "seeds": 2}]
    assert values["settings"]["mine-1a2b"]["plugin"] == "mine.py, sha256 1"
    assert WHOLE.environments[0].packages == [("python", "3.11")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is damaged"),
        ("{}", "lacks commands, environments, protocols, seconds; save the result again"),
        (json.dumps({**WHOLE.plain(), "seconds": {"hours": 1}}), "is damaged"),
        (json.dumps({**WHOLE.plain(), "environments": [3]}), "is damaged"),
        (json.dumps({**WHOLE.plain(), "settings": {"vae-1": {"method": "vae"}}}), "is damaged"),
    ],
)
def test_a_damaged_file_is_one_sentence(text, sentence, tmp_path):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UsageError, match=sentence):
        Provenance.read(tmp_path)
