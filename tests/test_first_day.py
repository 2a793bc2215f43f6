"""The first days of `first_day.py`, quickly and in one process; and that what they look at can fail."""

import importlib.util
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

SPEC = importlib.util.spec_from_file_location("first_day", Path(__file__).parent / "first_day.py")
first_day = importlib.util.module_from_spec(SPEC)
# where its data classes look for their types
sys.modules["first_day"] = first_day
SPEC.loader.exec_module(first_day)


@pytest.mark.parametrize("letter", first_day.DAYS)
def test_a_first_day(letter, tmp_path, monkeypatch, disbench, capsys, fresh):
    day = first_day.DAYS[letter](first_day.QUICK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(first_day.WIDTH))
    for name, text in day.files.items():
        Path(name).write_text(text, "utf-8")
    steps = [step for step in day.steps if not step.long]
    assert len(steps) >= 5
    for step in steps:
        program, *arguments = first_day.words(step.typed, tmp_path)
        if program == "python":
            monkeypatch.setattr(sys, "argv", arguments)
            runpy.run_path(arguments[0], run_name="__main__")
            code, out, err = 0, *capsys.readouterr()
        else:
            code, out, err = disbench(*arguments)
        assert first_day.judged(step, tmp_path, code, out + err)


TABLE = r"""\begin{table}
\caption{50\% \{of it\}}
\begin{tabular}{lr}
\toprule
method & MIG \\
\midrule
a \& b & .1 \\
c & .2 \\
\bottomrule
\end{tabular}
\end{table}
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (r"\caption{50", r"\caption{{50", "braces"),
        (r"\end{tabular}", "", "begins table, tabular and ends table"),
        (r"\toprule", "", "no rows"),
        ("c & .2 \\\\\n", "", "has 1 rows, not 2"),
        ("c & .2", "c & d & .2", "differ in their columns"),
    ],
)
def test_a_table_that_cannot_be_set_is_seen(tmp_path, old, new, sentence):
    path, check = tmp_path / "t.tex", first_day.table("t.tex", 2)
    path.write_text(TABLE, "utf-8")
    assert check(tmp_path, "") == f"t.tex, 2 rows, {len(TABLE)} bytes"
    assert TABLE.count(old) == 1
    path.write_text(TABLE.replace(old, new), "utf-8")
    with pytest.raises(first_day.StuckError, match=sentence):
        check(tmp_path, "")


@pytest.mark.parametrize(
    ("pixels", "colours", "sentence"),
    [(330, (0, 255), None), (320, (0, 255), "is 3.20 inches wide"), (330, (9, 9), "one colour")],
)
def test_a_picture_that_shows_nothing_or_is_of_another_width_is_seen(tmp_path, pixels, colours, sentence):
    image = Image.new("L", (pixels, 10), colours[0])
    image.putpixel((5, 5), colours[1])
    image.save(tmp_path / "p.png", dpi=(100, 100))
    check = first_day.picture("p.png", 3.3)
    if sentence is None:
        assert check(tmp_path, "").startswith("p.png, 330x10, ")
        return
    with pytest.raises(first_day.StuckError, match=sentence):
        check(tmp_path, "")


BOARD = "method,metric,preset,mean\na,mig,dlib,0.25\nb,mig,dlib,0.5\nb,mig,dlib@generator,\n"
PAGE = "<html><table>a</table></html>"


@pytest.mark.parametrize(
    ("check", "content", "printed", "sentence"),
    [
        (first_day.score("mig"), "", "│ mig │ dlib │ 0.12 ± 0.01 │", None),
        (first_day.score("mig"), "", "│ mig │ dlib │ nan ± 0.01 │", "mig is nan"),
        (first_day.score("mig"), "", "│ mig │ dlib │ – │", "mig is –"),
        (first_day.score("mig"), "", "│ sap │ dlib │ 0.1 │", "no row of mig"),
        (first_day.board("f", ("a", "b"), "mig"), BOARD, "", None),
        (first_day.board("f", ("a",), "mig"), BOARD, "", "of a, b, not of a"),
        (first_day.board("f", ("a", "b"), "mig"), BOARD.replace("0.5", ""), "", "mig of b is nan"),
        (first_day.page("f", ["a"]), PAGE, "", None),
        (first_day.page("f", ["a", "word"]), PAGE, "", "lacks word"),
        (first_day.page("f", ["a"]), '<img src="http://x">' + PAGE, "", "from the network"),
        (first_day.saved("f"), "x", "", None),
        (first_day.saved("f"), "", "", "f is empty"),
        (first_day.saved("g"), "x", "", "g was not written"),
        (first_day.near("f", 0.5, 0.01), "score\n0.505\n", "", None),
        (first_day.near("f", 0.5, 0.01), "score\n0.52\n", "", "is 0.5200, and 0.5 is kept"),
    ],
)
def test_what_came_out_is_looked_at(tmp_path, check, content, printed, sentence):
    (tmp_path / "f").write_text(content, "utf-8")
    if sentence is None:
        assert check(tmp_path, printed)
        return
    with pytest.raises(first_day.StuckError, match=sentence):
        check(tmp_path, printed)


@pytest.mark.parametrize(
    ("code", "printed", "sentence"),
    [
        (2, "gone is\nno file", None),
        (0, "gone is no file", "ended with 0, not 2"),
        (2, "gone is a file", "did not say 'is no file'"),
        (2, "Traceback: gone is no file", "printed a traceback"),
    ],
)
def test_a_step_that_ends_otherwise_is_told_with_its_command(tmp_path, code, printed, sentence):
    step = first_day.Step("look", "disbench show gone", code=2, says=("is no file",))
    if sentence is None:
        assert first_day.judged(step, tmp_path, code, printed) == "gone is no file"
        return
    with pytest.raises(first_day.StuckError, match=rf"`disbench show gone` \(look\) {sentence}"):
        first_day.judged(step, tmp_path, code, printed)


def test_a_day_is_lived_in_its_folder_and_counted(tmp_path):
    """Programs that sleep for .3 s have waited for it, two at once too."""
    steps = (
        first_day.Step("write", "python make.py a.txt 'b c.txt'", check=first_day.saved("a.txt", "b c.txt")),
        first_day.Step("both", "python make.py *.txt", copies=2),
    )
    made = "import pathlib, sys, time\nfor name in sys.argv[1:]:\n    pathlib.Path(name).write_text(name)\n"
    made += "time.sleep(0.3)\n"
    rows = first_day.live(first_day.Day("Eve", {"make.py": made}, steps), tmp_path)
    assert [row[:3] for row in rows] == [["Eve", "write", 30], ["Eve", "both", 20]]
    assert [row[-1] for row in rows] == ["a.txt, 5 bytes, b c.txt, 7 bytes", "done"]
    assert all(float(row[3]) >= 0.3 for row in rows)
    failing = first_day.Step("fail", "python make.py nowhere/d.txt")
    with pytest.raises(first_day.StuckError, match=r"ended with 1, not 0: .*FileNotFoundError"):
        first_day.live(first_day.Day("Eve", {"make.py": made}, (failing,)), tmp_path)
