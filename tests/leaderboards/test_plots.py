import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from disbench.benchmark.runs import settings
from disbench.errors import UsageError
from disbench.leaderboards import aggregate, journals, labels, plots, published


def frame(quantity, values):
    """values (seeds, steps, entries)."""
    return pd.DataFrame(
        [
            {"seed": seed, "quantity": quantity, "steps": 10.0 * np.arange(len(each)), "values": each}
            for seed, each in enumerate(np.asarray(values, float))
        ]
    )


def test_latents_are_compared_by_rank_and_not_by_number():
    """Seed 0 ends with its latent 1 largest, seed 1 with its latent 0: rank 0 is the largest of each."""
    steps, values = journals.by_rank(frame("kl", [[[0, 0], [1, 3]], [[0, 0], [4, 2]]]))
    assert list(steps) == [0, 10]
    assert values[:, -1].tolist() == [[3, 1], [4, 2]]


def test_steps_that_not_every_seed_logged_are_left_out():
    both = pd.concat([frame("kl", [[[1], [2]]]), frame("kl", [[[1], [2], [3]]]).assign(seed=1)])
    assert list(journals.by_rank(both)[0]) == [0, 10]


def test_a_step_with_a_missing_value_is_left_out_and_rows_of_one_seed_are_averaged():
    whole, missing = frame("kl", [[[1], [2]]]), frame("kl", [[[3], [np.nan]]])
    steps, values = journals.by_rank(pd.concat([whole, missing]))
    assert (list(steps), values.tolist()) == ([0], [[[2.0]]])


def test_seeds_with_different_numbers_of_latents_are_refused():
    both = pd.concat([frame("kl", [[[1, 2]]]), frame("kl", [[[1]]]).assign(seed=1)])
    with pytest.raises(UsageError, match="the seeds log 1 and 2 values"):
        journals.by_rank(both)


def test_a_bound_shares_the_panel_of_what_it_bounds():
    both = pd.concat([frame("L_I_categorical", [[[1], [2]]]), frame("H_categorical", [[[2.3], [2.3]]])])
    figure = plots.curves(both, "infogan")
    seen = [axis for axis in figure.axes if axis.get_visible()]
    assert len(seen) == 1
    assert len(seen[0].lines) == 2
    assert "dashed: H(c)" in seen[0].get_title(loc="left")
    assert seen[0].get_ylabel() == "nats"


def test_the_line_is_the_median_and_the_band_reaches_from_least_to_most():
    figure = plots.curves(frame("loss", [[[1.0], [1.0]], [[2.0], [5.0]], [[9.0], [6.0]]]), "vae")
    axis = figure.axes[0]
    assert axis.lines[0].get_ydata().tolist() == [2.0, 5.0]
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (1.0, 9.0)


def scored(method, scores, metric="mig", higher=True, **other):
    """A row per seed; a score of None is a failed seed."""
    return [
        {
            "dataset": "dsprites-32",
            "protocol": "mini",
            "method": method,
            "variant": "",
            "settings": "mini",
            "cell": f"{method}-cell",
            "metric": metric,
            "preset": "dlib",
            "seed": seed,
            "score": score,
            "state": "failed" if score is None else "done",
            "reason": "diverged" if score is None else None,
            "higher_is_better": higher,
            "run": "r",
            "folder": f"{method}/seed-{seed}",
            **other,
        }
        for seed, score in enumerate(scores)
    ]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def texts(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def test_every_seed_is_a_dot_and_failed_ones_are_counted_beside_the_name():
    frame = aggregate.scores(scored("vae", [0.1, None, 0.3]) + scored("gan", [0.2]))
    figure = plots.strip(frame, aggregate.leaderboard(frame))
    (axis,) = figure.axes
    assert texts(axis) == ["GAN\nn = 1", "VAE\nn = 2, 1 failed"]
    dots = [line.get_xdata().tolist() for line in axis.lines if line.get_marker() == "o"]
    means = [line.get_xdata().tolist() for line in axis.lines if line.get_marker() == "D"]
    assert dots == [[0.2], [0.1, 0.3]]
    assert means == [[0.2], [pytest.approx(0.2)]]
    # too few seeds for an interval, so none is spoken of
    assert legend(figure) == ["a seed", "mean"]


def test_a_row_of_several_settings_says_so():
    rows = scored("vae", [0.1, 0.3]) + scored("vae", [0.2, 0.4], settings="mini, steps=9", cell="other")
    frame = aggregate.scores(rows)
    board = aggregate.leaderboard(frame, ["dataset", "protocol", "method", "variant", "metric", "preset"])
    (axis,) = plots.strip(frame.assign(name="vae"), board.assign(name="vae")).axes
    assert texts(axis) == ["VAE\nn = 4 of 2 settings"]


def test_a_training_has_the_name_that_its_page_gave_it():
    """On this data set alone the settings would tell nothing."""
    frame = aggregate.scores(scored("vae", [0.1, 0.3]))
    board = aggregate.leaderboard(frame).assign(name="vae (mini)")
    (axis,) = plots.strip(frame.assign(name="vae (mini)"), board).axes
    assert texts(axis) == ["VAE (mini)\nn = 2"]


def test_the_bar_under_the_dots_is_the_interval_of_the_leaderboard():
    frame = aggregate.scores(scored("vae", list(np.linspace(0.2, 0.6, 12)), metric="loss", higher=False))
    board = aggregate.leaderboard(frame)
    (axis,) = plots.strip(frame, board).axes
    (bar,) = [line.get_xdata().tolist() for line in axis.lines if line.get_marker() == "None"]
    assert bar == [board["mean_low"][0], board["mean_high"][0]]
    assert axis.get_xlabel().startswith("lower is better")


def test_a_strip_has_the_spread_of_each_score_and_the_chance_of_each_row():
    frame = aggregate.scores(scored("vae", [0.5, 0.7], spread=0.1, chance=0.2, perfect=1.0))
    figure = plots.strip(frame, aggregate.leaderboard(frame))
    (axis,) = figure.axes
    ends = sorted(
        (segment[:, 0].min(), segment[:, 0].max()) for segment in axis.collections[0].get_segments()
    )
    np.testing.assert_allclose(ends, [(0.4, 0.6), (0.6, 0.8)])
    assert [0.2, 0.2] in [list(line.get_xdata()) for line in axis.lines]
    assert axis.get_xlim()[0] < 0.2
    assert "chance" in legend(figure)


def test_near_dots_stand_beside_each_other_and_never_on_each_other():
    values = np.array([0.0, 0.0, 0.0, 0.04, 1.0])
    offsets = plots.rows.swarm(values, near=0.1, step=1.0, most=2.0)
    assert offsets.tolist() == [0.0, 1.0, -1.0, 2.0, 0.0]


def test_nine_methods_with_thirty_two_seeds_overlap_nowhere():
    rng = np.random.default_rng(0)
    names = ["elastic_infogan_with_a_long_name", *"abcdefgh"]
    rows = [row for name in names for row in scored(name, rng.uniform(0.3, 0.9, 32).round(3))]
    frame = aggregate.scores(rows)
    figure = plots.strip(frame, aggregate.leaderboard(frame))
    figure.draw_without_rendering()
    (axis,) = figure.axes
    boxes = [label.get_window_extent() for label in axis.get_yticklabels()]
    assert all(not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    assert all(box.x0 >= 0 for box in boxes)
    radius = 4.2 / 2 / 72 * figure.dpi
    for line in (line for line in axis.lines if line.get_marker() == "o"):
        x, y = axis.transData.transform(line.get_xydata()).T
        apart = np.hypot(x[:, None] - x, y[:, None] - y)[~np.eye(len(x), dtype=bool)]
        assert apart.min() > 1.5 * radius  # dots may overlap, not hide each other


def test_a_dollar_in_a_name_is_no_formula():
    frame = aggregate.scores(scored("$\\frac{$", [0.1, 0.2]))
    assert b"frac" in plots.render(plots.strip(frame, aggregate.leaderboard(frame)), "svg")


def test_rank_correlation_by_hand_turns_what_is_better_low():
    """Ranks of a: 1 2 3 4; of b: 1 2 4 3, so rho = 1 - 6 * 2 / (4 * 15) = 0.8; c falls as a rises."""
    rows = scored("vae", [0.1, 0.2, 0.3, 0.4], "a") + scored("vae", [1.0, 2.0, 9.0, 3.0], "b")
    rows += scored("vae", [0.9, 0.8, 0.2, 0.1], "c", higher=False)
    rows += scored("vae", [0.5, 0.5, 0.5, 0.5], "one value says nothing")
    table, n = aggregate.rank_correlation(aggregate.scores(rows))
    assert n == 4
    assert table.loc["a", "b"] == pytest.approx(0.8)
    assert table.loc["a", "c"] == pytest.approx(1.0)
    assert list(table.columns) == ["a", "b", "c"]


def test_models_without_all_scores_do_not_count():
    rows = scored("vae", [0.1, 0.2, 0.3, None], "a") + scored("vae", [0.1, 0.2, 0.3, 0.4], "b")
    assert aggregate.rank_correlation(aggregate.scores(rows))[1] == 3
    rare = rows + scored("vae", [0.1, None, None, None], "few have it")
    assert list(aggregate.rank_correlation(aggregate.scores(rare))[0].columns) == ["a", "b"]
    with pytest.raises(UsageError, match=r"two metrics and three models.*2 metrics that vary over 2"):
        plots.correlation(aggregate.scores(scored("v", [1, 2], "a") + scored("v", [1, 2], "b")))


def test_the_numbers_of_a_heat_map_stand_in_its_cells():
    values = np.array([[0.1, 1.2], [0.7, 0.3], [0.0, 0.0]])
    (axis,) = plots.matrices.information(values, ["c0", "c1", "c2"], ["x", "y"], "vae").axes
    shown = {(t.get_position()[1] - 0.5, t.get_position()[0] - 0.5): t.get_text() for t in axis.texts}
    assert shown == {index: f"{value:.2f}" for index, value in np.ndenumerate(values)}
    framed = {(patch.get_y(), patch.get_x()) for patch in axis.patches}
    assert framed == {(1, 0), (0, 1)}  # the code that knows most about x, about y
    assert texts(axis) == ["c0", "c1", "c2"]
    low, high = axis.get_ylim()
    assert low > high  # c0 at the top


def test_the_area_of_a_square_is_the_share_of_its_code():
    """Importances 3 and 1 of a factor are areas in the ratio 3 to 1, which make one frame together."""
    values = np.array([[3.0, 0.0], [1.0, 0.0]])
    (axis,) = plots.matrices.importance(values, ["a", "b"], ["x", "y"], "vae").axes
    area = {}
    for patch in axis.patches:
        if patch.get_fill():
            middle = (
                round(patch.get_y() + patch.get_height() / 2),
                round(patch.get_x() + patch.get_width() / 2),
            )
            area[middle] = patch.get_width() * patch.get_height()
    assert area[0, 0] / area[1, 0] == pytest.approx(3.0)
    assert area[0, 0] + area[1, 0] == pytest.approx(0.92**2)
    assert area[0, 1] == area[1, 1] == 0.0


def test_a_setting_against_the_score_joins_medians():
    rows = scored("vae", [0.1, 0.2, 0.9], name="vae", value=1.0) + scored("vae", [0.5], name="vae", value=4.0)
    (axis,) = plots.sweep(pd.DataFrame(rows), "beta").axes
    line, dots = axis.lines
    assert line.get_xydata().tolist() == [[1.0, 0.2], [4.0, 0.5]]
    assert sorted(dots.get_ydata()) == [0.1, 0.2, 0.5, 0.9]
    with pytest.raises(UsageError, match="fewer than two values"):
        plots.sweep(pd.DataFrame(rows[:3]), "beta")


def test_a_star_that_others_report_says_so():
    rows = [
        {**row, "name": "betavae", "value": value, "dataset": "dsprites-32"}
        for value in (1.0, 4.0)
        for row in scored("betavae", [0.5], "beta_vae")
    ]
    figure = plots.sweep(pd.DataFrame(rows), "beta")
    texts = [" ".join(text.get_text().split()) for text in figure.legends[0].get_texts()]
    (star,) = [text for text in texts if "Figure 6" in text]
    assert star.endswith("reported by others, the paper was not seen, measured otherwise")


def test_settings_that_are_words_are_drawn_side_by_side():
    rows = scored("v", [0.1], name="v", value="sgd") + scored("v", [0.3], name="v", value=True)
    (axis,) = plots.sweep(pd.DataFrame(rows), "optimizer").axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["True", "sgd"]


def test_only_settings_that_differ_within_a_method_vary():
    configs = {
        ("vae", "1"): {"beta": 1, "z": 5},
        ("vae", "2"): {"beta": 4, "z": 5},
        ("gan", "3"): {"lr": 1, "z": 9},
    }
    assert settings.varying(configs) == ["beta"]


@pytest.mark.parametrize(
    ("scores", "higher", "expected"),
    [
        ([0.3, 0.9, 0.5, 0.7, 0.1], True, {"best": 1, "median": 2, "worst": 4}),
        ([0.3, 0.9, 0.5, 0.7], True, {"best": 1, "median": 3, "worst": 0}),
        ([0.3, 0.9, 0.5], False, {"best": 0, "median": 2, "worst": 1}),
        ([0.3, None, 0.5], True, {"best": 2, "worst": 0}),
        ([0.3], True, {"only": 0}),
        ([None], True, {}),
    ],
)
def test_best_median_and_worst_seed(scores, higher, expected):
    found = aggregate.representatives(aggregate.scores(scored("vae", scores, higher=higher)))
    assert {what: row["seed"] for what, row in found} == expected


def test_pictures_beside_each_other_keep_their_shape():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    figure = plots.side_by_side([("best", picture), ("worst", picture)], "vae")
    boxes = [axis.get_window_extent() for axis in figure.axes]
    assert [b.width / b.height for b in boxes] == pytest.approx([1.5, 1.5])
    assert boxes[0].x1 < boxes[1].x0
    for axis in figure.axes:
        (image,) = axis.get_images()
        assert (image.get_array() == picture).all()


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_equal_plots_are_equal_files(kind):
    both = [plots.render(plots.curves(frame("kl", [[[1], [2]], [[3], [4]]]), "vae"), kind) for _ in range(2)]
    assert both[0] == both[1]
    assert b"Matplotlib v" not in both[0]


def test_a_long_curve_keeps_its_last_step():
    figure = plots.curves(frame("kl", [[[t] for t in range(1001)]]), "vae")
    steps = figure.axes[0].lines[0].get_xdata()
    assert len(steps) <= plots.training.MOST_POINTS
    assert steps[-1] == 10_000


def test_an_inline_picture_has_its_own_ids_and_escapes_its_texts():
    drawn = frame("<script>alert(1)</script>", [[[1], [2]]])
    svg = plots.inline(plots.curves(drawn, '"><b>'), "p7", 'of "><b>')
    root = ElementTree.fromstring(svg.replace("xlink:", ""))
    assert root.get("aria-label") == 'of "><b>'
    assert "<script" not in svg
    assert "<b>" not in svg
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert ids
    assert all(name.startswith("p7-") for name in ids)
    used = re.findall(r'(?:url\(#|href="#)([^")]*)', svg)
    assert used
    assert set(used) <= set(ids)
    assert plots.figure.INK not in svg


def test_a_point_is_on_the_frontier_unless_another_is_as_good_in_both_and_better_in_one():
    points = np.array([[1.0, 0.2], [2.0, 0.5], [3.0, 0.4], [2.0, 0.5], [1.0, 0.1], [4.0, 0.6]])
    higher, lower = (plots.against.undominated(points, higher=higher).tolist() for higher in (True, False))
    assert higher == [True, True, False, True, False, True]
    assert lower == [False, False, False, False, True, False]


def test_the_last_value_is_the_mean_over_the_last_tenth_of_the_steps():
    steps = np.arange(10.0, 101.0, 5.0)
    row = dict.fromkeys(labels.TRAINING, "x") | {"seed": 0, "quantity": "q"}
    row |= {"steps": steps, "values": steps[:, None]}
    other = {**row, "quantity": "other", "values": np.full((len(steps), 1), 7.0)}
    found = journals.last_values(pd.DataFrame([row, other]), "q")
    assert found["value"].tolist() == [(95 + 100) / 2]


def test_published_numbers_along_a_setting_are_those_that_set_nothing_else():
    found = published.along(["factorvae"], "gamma", "mig", "dsprites-32")
    assert [(n.settings["gamma"], float(n.value)) for n in found] == [
        (1.0, 0.27), (10.0, 0.40), (20.0, 0.40), (40.0, 0.43),
    ]  # fmt: skip
    assert published.along(["vae"], "gamma", "mig", "dsprites-32") == []
    assert published.along(["factorvae"], "gamma", "mig", "cars3d-32") == []


@pytest.mark.parametrize(
    ("values", "higher", "zoom", "low", "high"),
    [
        # all of [0, 1], with a margin of .02
        ([0.31, 0.35], True, False, -0.02, 1.02),
        # a score below chance is shown, too
        ([-0.1, 0.5], True, False, -0.122, 1.022),
        # a loss, and a count: from 0 on
        ([50.0, 100.0], False, False, -2.0, 102.0),
        ([3.0, 8.0], True, False, -0.16, 8.16),
        # equal scores are not blown up: a tenth of the axis, and not below 0
        ([0.5, 0.5], True, True, 0.444, 0.556),
        ([0.01, 0.01], True, True, 0.0, 0.112),
        ([0.2, 0.6], True, True, 0.176, 0.624),
        ([100.0, 100.0], False, True, 94.4, 105.6),
    ],
)
def test_an_axis_of_scores_shows_all_of_it_unless_it_is_zoomed(values, higher, zoom, low, high):
    assert plots.figure.limits(np.array(values), higher, zoom) == pytest.approx((low, high))


def test_rows_are_by_score_best_first():
    rows = scored("ibgan", [0.2, 0.2]) + scored("vae", [0.9, 0.8]) + scored("mine", [0.5, 0.5])
    frame = aggregate.scores(rows)
    (axis,) = plots.strip(frame, aggregate.leaderboard(frame)).axes
    assert [text.partition("\n")[0] for text in texts(axis)] == ["VAE", "mine", "IB-GAN"]
    low = frame.assign(higher_is_better=False)
    (axis,) = plots.strip(low, aggregate.leaderboard(low)).axes
    assert [text.partition("\n")[0] for text in texts(axis)] == ["IB-GAN", "mine", "VAE"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 4], True),
        ([4500, 9000, 18000], True),
        ([1, 2, 4, 6, 8, 16], True),
        ([1, 2], False),
        ([1, 2, 3, 4], False),
        ([0, 1, 10, 100], False),
        ([10, 11, 12.1], False),
    ],
)
def test_values_that_go_by_equal_factors_have_an_axis_of_logarithms(values, expected):
    assert plots.against.is_logarithmic(values) is expected


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (1, "1 seed"),
        (2, "mean of 2 seeds, band from the lowest to the highest"),
        (3, "median of 3 seeds, band from the lowest to the highest"),
    ],
)
def test_the_line_is_named_for_what_it_is(n, words):
    figure = plots.curves(frame("loss", [[[float(seed)], [1.0]] for seed in range(n)]), "own")
    assert figure.get_suptitle() == f"own: {words}"


def test_neighbours_are_merged_until_their_means_are_apart():
    """1.0 and .95 make .975, from which .9 is nearer than .1; the mean of the three is .95."""
    ends = np.array([1.0, 0.95, 0.9, 0.5, 0.02, 0.0])
    assert plots.training.together(ends, 0.1) == [(0, 2), (3, 3), (4, 5)]
    assert plots.training.together(np.array([1.0]), 0.1) == [(0, 0)]


@pytest.mark.parametrize(
    ("places", "kept"),
    [
        ([0.0, 1.0, 2.0, 10.0], [0, 2, 3]),
        ([0.0, 9.0, 9.5, 10.0], [0, 3]),
        ([0.0, 5.0, 10.0], [0, 1, 2]),
        ([1.0, 2.0], [0, 1]),
    ],
)
def test_places_too_near_for_a_text_have_none(places, kept):
    assert plots.against.readable(places, 0.15) == kept


def of_kind(kind, width):
    """A figure of each kind, with names as long as they come."""
    metrics = ("mig", "factor_vae", "dci", "sap", "modularity")
    rng = np.random.default_rng(0)
    rows = []
    for metric in metrics:
        for method in ("elastic_infogan", "betavae", "ibgan", "of_a_stranger_with_a_long_name"):
            rows += scored(method, rng.uniform(0.01, 0.9, 10).round(3), metric, chance=0.1, perfect=1.0)
    scores = aggregate.scores(rows)
    if kind == "strip":
        return plots.strip(scores, aggregate.leaderboard(scores), width=width)
    if kind == "correlation":
        return plots.correlation(scores, width=width)
    if kind == "sides":
        drawn = scores.assign(preset="dlib@generator", score=scores["score"] ** 2)
        return plots.two_sides(pd.concat([scores, drawn]), width=width)
    named = scores.assign(name=scores["method"], value=2.0 ** (scores["seed"] % 4))
    if kind == "sweep":
        return plots.sweep(named, "beta", width=width)
    if kind == "frontier":
        points = named.assign(quantity=named["score"] * 100, point="beta=" + named["value"].astype(str))
        return plots.frontier(
            points[points["method"] == "ibgan"], "loss.reconstruction", "ibgan", width=width
        )
    steps = np.linspace(1, 0, 20)[:, None] * np.linspace(1, 0, 10)
    logged = [frame(q, [steps, steps + 0.1]) for q in ("kl_per_latent", "loss.reconstruction", "I_lower")]
    logged.append(frame("I_upper", [steps + 1, steps + 2]))
    both = pd.concat(logged).assign(method="ibgan", variant="", name="ibgan")
    if kind == "curves":
        return plots.curves(both, "ibgan (mini)", width=width)
    single = both[both["quantity"] != "kl_per_latent"]
    return plots.compared(single, "I_lower", width=width)


@pytest.mark.parametrize("width", ["column", "page"])
@pytest.mark.parametrize("kind", ["strip", "correlation", "sweep", "frontier", "sides", "curves", "compared"])
def test_a_figure_for_a_paper_is_as_wide_as_asked_with_readable_type_and_nothing_cut(kind, width):
    figure = of_kind(kind, width)
    assert figure.get_figwidth() == plots.figure.INCHES[width]
    figure.draw_without_rendering()
    drawn = figure.get_tightbbox()
    high = figure.get_figheight()
    assert min(drawn.x0, drawn.y0) > -0.01
    assert drawn.x1 < plots.figure.INCHES[width] + 0.01
    assert drawn.y1 < high + 0.01
    seen = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert {7.0 <= text.get_fontsize() <= 8.0 for text in seen} == {True}


def test_a_figure_is_a_pdf_without_a_date():
    both = [plots.render(plots.curves(frame("kl", [[[1], [2]]]), "vae", width="column"), "pdf") for _ in "ab"]
    assert both[0] == both[1]
    assert both[0].startswith(b"%PDF-")
    assert b"CreationDate" not in both[0]


def test_dots_between_which_other_settings_vary_are_not_joined():
    rows = [
        {**row, "name": "vae", "value": value, "chance": np.nan, "joined": False}
        for value in (1.0, 4.0)
        for row in scored("vae", [0.5, 0.6])
    ]
    figure = plots.sweep(pd.DataFrame(rows), "beta")
    line, dots = figure.axes[0].lines
    assert len(line.get_xdata()) == 0
    assert dots.get_xydata().tolist() == [[1.0, 0.5], [1.0, 0.6], [4.0, 0.5], [4.0, 0.6]]
    assert "without a line: other settings vary, too" in legend(figure)
    assert "median over seeds" not in legend(figure)


def test_a_sweep_and_a_frontier_have_the_chance_of_their_models():
    rows = [
        {**row, "name": "vae", "value": value, "chance": chance, "x": value}
        for value, chance in ((1.0, 0.1), (4.0, 0.3))
        for row in scored("vae", [0.5, 0.6])
    ]
    figure = plots.sweep(pd.DataFrame(rows), "beta")
    lines = [line.get_xydata().tolist() for line in figure.axes[0].lines]
    assert [[1.0, 0.1], [4.0, 0.3]] in lines
    assert "chance" in legend(figure)
    points = pd.DataFrame(rows).assign(
        quantity=lambda f: f["value"] * 10, point=lambda f: f["value"].map(str)
    )
    figure = plots.frontier(points, "loss.kl", "vae")
    assert [[10.0, 0.1], [40.0, 0.3]] in [line.get_xydata().tolist() for line in figure.axes[0].lines]
    assert "chance" in legend(figure)


def test_a_sweep_and_a_frontier_count_the_seeds_that_they_lack():
    """Of beta = 4 a seed failed, and of another metric one has no score; of beta = 2 both failed."""
    rows = [
        {**row, "name": "vae", "value": value, "cell": f"c{value}", "quantity": value, "point": str(value)}
        for value, scores in ((1.0, [0.5, 0.6]), (2.0, [None, None]), (4.0, [0.5, None]))
        for row in scored("vae", scores)
    ]
    other = [{**row, "metric": "dci", "score": row["score"] if row["seed"] else None} for row in rows]
    other = [row for row in other if row["value"] == 1]
    # a metric that nothing has a score of has no panel
    nothing = [{**row, "metric": "sap", "score": None} for row in rows]
    table = pd.DataFrame([*rows, *other, *nothing])
    for figure in (plots.sweep(table, "beta"), plots.frontier(table, "loss.kl", "vae")):
        assert "missing: 3 failed seeds, 1 seed without a score" in legend(figure)
    whole = table[table["score"].notna() & (table["metric"] == "mig")]
    assert not any("missing" in text for text in legend(plots.sweep(whole, "beta")))


def test_differences_are_over_the_mean_of_their_code_and_the_least_is_framed():
    """Code 0 has 0 and 2, mean 1; code 1 has 3 and 1, mean 2; code 2 never moves, and counts as its mean."""
    values = np.array([[0.0, 2.0], [3.0, 1.0], [0.0, 0.0]])
    (axis,) = plots.matrices.differences(values, ["c0", "c1", "c2"], ["x", "y"], "vae").axes
    shown = {(t.get_position()[1] - 0.5, t.get_position()[0] - 0.5): t.get_text() for t in axis.texts}
    assert shown == {
        (0, 0): "0.00", (0, 1): "2.00", (1, 0): "1.50", (1, 1): "0.50", (2, 0): "1.00", (2, 1): "1.00",
    }  # fmt: skip
    assert {(patch.get_y(), patch.get_x()) for patch in axis.patches} == {(0, 0), (1, 1)}
