"""Sheets: what is written is read again, what is grey, what a stranger's picture may say."""

import io
import json

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image, PngImagePlugin

from disbench.errors import UsageError
from disbench.leaderboards import plots, sheets
from disbench.leaderboards.sheets import Sheet

RNG = np.random.default_rng(0)


def a_sheet(r=3, s=4, side=64, **changed):
    fields = {
        "rows": RNG.integers(0, 256, (r, s, side, side, 3), dtype=np.uint8),
        "labels": [f"z{i}" for i in range(r)],
        "heads": [[f"{j}.0" for j in range(s)]] * r,
        "dim": [False] * (r - 1) + [True],
        "start": RNG.integers(0, 256, (side, side, 3), dtype=np.uint8),
        "note": "grey: collapsed",
    }
    return Sheet(**fields | changed)


def written(sheet, tmp_path):
    path = tmp_path / "sheet.png"
    path.write_bytes(sheets.png(sheet))
    return path


@pytest.mark.parametrize(
    "changed", [{}, {"start": None}, {"heads": ()}, {"dim": (), "note": ""}, {"s": 1, "r": 1}, {"side": 40}]
)
def test_a_sheet_is_read_as_it_was_written(changed, tmp_path):
    sheet = a_sheet(**changed)
    found = sheets.read(written(sheet, tmp_path))
    live = ~np.asarray(sheet.dim or [False] * len(sheet.rows), bool)
    assert (found.rows[live] == sheet.rows[live]).all()
    # .4 of a level is kept of a grey one, so that it is known to 1 / .4 / 2 levels
    np.testing.assert_allclose(found.rows.astype(int), sheet.rows.astype(int), atol=1.25 + 1e-9)
    assert (found.labels, found.heads) == (list(sheet.labels), [list(head) for head in sheet.heads])
    assert (found.dim, found.note) == (list(sheet.dim), sheet.note)
    if sheet.start is None:
        assert found.start is None
    else:
        assert (found.start == sheet.start).all()


def test_a_dimmed_row_is_three_fifths_paper():
    sheet = a_sheet(rows=np.zeros((2, 1, 8, 8, 3), np.uint8), labels=["a", "b"], heads=(), dim=[False, True])
    assert sheet.shown()[0].max() == 0
    assert set(sheet.shown()[1].ravel()) == {round(0.6 * 255)}


def test_heads_are_written_once_for_neighbours_that_share_them():
    sheet = a_sheet(r=3, s=2, heads=[["a", "b"], ["a", "b"], ["0", "1"]])
    assert [list(sheet.head_of(i)) for i in range(3)] == [["a", "b"], [], ["0", "1"]]


def test_pictures_are_enlarged_by_whole_pixels():
    picture = np.array([[[[0.0, 1.0], [0.5, 0.2]]]], np.float32)
    tile = sheets.enlarged(picture)[0]
    assert tile.shape == (64, 64, 3)
    assert tile[0, 0].tolist() == [0, 0, 0]
    assert tile[0, 32].tolist() == [255, 255, 255]
    assert tile[63, 31].tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tile", [0, 64]),
        ("tile", [64, 5_000]),
        ("columns", 0),
        ("columns", 10**9),
        ("tops", []),
        ("tops", [-1, 10, 90]),
        ("tops", [10, 10, 10]),
        ("tops", [0, 80, 10**6]),
        ("left", -1),
        ("start", 10**6),
        ("labels", ["one"]),
        ("labels", [1, 2, 3]),
        ("heads", [["too", "few"]] * 3),
        ("dim", [True]),
        ("more", 1),
    ],
)
def test_a_picture_whose_texts_do_not_fit_it_is_shown_as_it_is(field, value, tmp_path):
    path = written(a_sheet(), tmp_path)
    image = Image.open(path)
    texts = json.loads(image.info[sheets.KEY])
    assert isinstance(sheets.read(path), Sheet)
    about = PngImagePlugin.PngInfo()
    about.add_itxt(sheets.KEY, json.dumps(texts | {field: value}))
    image.save(path, pnginfo=about)
    assert sheets.read(path).shape == (image.height, image.width, 3)


def test_a_picture_of_before_is_its_pixels(tmp_path):
    pixels = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "old.png")
    assert (sheets.read(tmp_path / "old.png") == pixels).all()


@pytest.mark.parametrize(("r", "columns", "lines"), [(1, 2, 1), (5, 5, 1), (8, 5, 2)])
def test_an_animation_is_as_wide_as_a_slide_needs(r, columns, lines):
    sheet = a_sheet(r=r, s=3, side=32)
    image = Image.open(io.BytesIO(sheets.gif(sheet)))
    assert image.n_frames == 4  # three there, one back
    assert sheets.WIDE <= image.width < 2 * sheets.WIDE
    scale = -(-(sheets.WIDE // columns) // 32)
    assert image.height > lines * scale * 32


@pytest.mark.parametrize("width", ["column", "page", "screen"])
@pytest.mark.parametrize("n", [1, 3])
def test_sheets_in_a_figure_have_readable_type_and_nothing_cut(n, width):
    note = "grey: collapsed, KL below 0.1 nats over 256 images"
    heads = [[f"-{j / 10:.1f}" for j in range(20)]] * 4
    sheet = a_sheet(r=4, s=20, side=32, heads=heads, note=note)
    picture = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    figure = plots.side_by_side([("best", sheet), ("old", picture), ("worst", sheet)][:n], "VAE", width=width)
    figure.draw_without_rendering()
    if width != "screen":
        assert figure.get_figwidth() == pytest.approx(plots.figure.INCHES[width])
    drawn = figure.get_tightbbox()
    assert min(drawn.x0, drawn.y0) > -0.01
    assert drawn.x1 < figure.get_figwidth() + 0.01
    assert drawn.y1 < figure.get_figheight() + 0.01
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.axes is not None]
    if width != "screen":
        assert {7.0 <= text.get_fontsize() <= 8.0 for text in texts if text.axes.texts} == {True}
    # the values above a row do not run into each other
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text().startswith("-")]
    assert len(boxes) > 3
    assert all(not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_texts_that_unpack_to_more_than_any_sheet_has_are_refused(tmp_path):
    about = PngImagePlugin.PngInfo()
    about.add_itxt(sheets.KEY, "a" * 80_000_000, zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "bomb.png", pnginfo=about)
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    with pytest.raises(UsageError, match=r"bomb\.png.* a picture"):
        sheets.read(tmp_path / "bomb.png")
