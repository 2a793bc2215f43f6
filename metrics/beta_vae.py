"""beta-VAE metric, also "Z-diff": Higgins et al. 2017 (ICLR).

The two images of a pair share the value of one factor. The mean absolute difference of their codes over L
pairs is one point. A linear classifier predicts from it which factor was held, and its accuracy on fresh
points is the score.

    symbol     here       shape     meaning
    L          batch                pairs per point
    y          factor     (V,)      the factor held in each point
    z_diff     diff       (V, d)    1/L sum_l |z_{1,l} - z_{2,l}|

Its part `differences` (d, k) has the mean point of each factor held: a code of that factor alone has 0 there.

Deviations: a logistic regression with scikit-learn's defaults replaces the paper's softmax fitted by
Adagrad, as in disentanglement_lib. Its penalty is not the paper's either: `higgins2017` standardises the
differences and converges, so that the penalty hardly matters.

Variants:

They differ in the number of pairs L (64 or 200, or 50 in groups of 100 images), in the classifier, in whether
each pair has its own value of the factor (`pairs="own"`) or all images of a point share one
(`pairs="shared"`), and in whether the fitted points are also scored (`eval_votes=0`). `dlib_liblinear` is the
meaning that scikit-learn's defaults had before version 0.22; on our reference codes the two differ by one to
two standard deviations over draws.

Traps:

- **It saturates.** On the reference codes a blurred, partly mixed representation with MIG .30 scores 1.000,
  and a heavily mixed one with MIG .014 still .92. Do not rank good models with it.
- It reaches 1 when all factors but one are disentangled: the last one follows by elimination (the objection
  of Kim & Mnih 2018).
- The classifier has an L2 penalty on raw differences and may stop before it converges, so the score depends
  on the scale of the codes: the codes of one model times .01 can fall from .92 to chance. `standardise=True`
  divides each code's differences by their standard deviation, which removes the scale. A score that this
  would move by more than its own spread says so.
- The two images of a pair are drawn independently and may be the same one.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from disbench.errors import unknown
from disbench.metrics import arrays, checks, logistic, voting
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.occurring import Occurring
from disbench.metrics.registry import EncodeRows, Score, Space, as_space, metric
from disbench.ranges import Count, CountOrNone, Several

# a move by more standard deviations of the score than this, and by more than this, is told
SPREADS, LEAST = 4, 0.01


def draw(
    grid: Space, rng: np.random.Generator, batch: int, votes: int, eval_votes: int, pairs: str
) -> tuple[Ints, Ints]:
    """(factor of each point (V,), rows (V, 2 * batch)): the first images of all pairs, then the second ones.

    Both images of a pair are drawn independently and can be the same one.
    """
    factor = voting.draw_factor(grid, rng, votes + eval_votes)
    shape, values = (len(factor), 2, batch), {"own": batch, "shared": 1}
    if pairs not in values:
        raise unknown("pairs of beta_vae", pairs, values)
    held = factor[:, None, None]
    if isinstance(grid, Occurring):
        value = grid.value(rng, np.broadcast_to(held, (len(factor), 1, values[pairs])))
        rows = voting.draw_held(grid, rng, held, value, shape)
    else:
        rows = rng.integers(len(grid), size=shape)
        rows = voting.hold(rows, grid, held, voting.value_of(rows[:, :1, : values[pairs]], grid, held))
    return factor, rows.reshape(len(factor), 2 * batch)


def rows(grid: Space, rng: np.random.Generator, batch: int, votes: int, eval_votes: int, pairs: str) -> Ints:
    """Row numbers in the order in which the metric asks for them."""
    return draw(grid, rng, batch, votes, eval_votes, pairs)[1].ravel()


@metric(
    kind="sampling",
    paper="Higgins et al. 2017",
    perfect=1.0,
    rows=rows,
    chance="1/k",
    occurring=True,
    presets={
        # disentanglement_lib, config/unsupervised_study_v1
        "dlib": {},
        # the same with the scikit-learn (< 0.22) of that study
        "dlib_liblinear": {"solver": "liblinear"},
        "higgins2017": {"batch": 200, "standardise": True, "max_iter": 10_000},
        "infogan_cr": {"batch": 50, "votes": 500, "eval_votes": 0, "pairs": "shared"},
        "ubisoft": {"batch": 200, "max_iter": 10_000, "adjusted": True},
    },
    depends_on=("scale", "common scale"),
)
def beta_vae(
    codes: Floats | EncodeRows,
    grid: Space | tuple[int, ...],
    *,
    rng: np.random.Generator,
    preset: str = "dlib",
    batch: Count = 64,
    votes: Several = 10_000,
    eval_votes: CountOrNone = 5_000,
    pairs: str = "own",
    standardise: bool = False,
    solver: str = "lbfgs",
    max_iter: Count = 100,
    adjusted: bool = False,
) -> Score:
    """Accuracy of a linear classifier from mean absolute code differences to the factor held in each pair.

    Args:
        codes: (N, d) over the whole grid, or a function of row numbers (m,) to codes (m, d).
        grid: the factor sizes, or the values that occur (`occurring`).
        rng: draws the factors and the rows.
        batch: pairs per point.
        votes: points to fit on.
        eval_votes: points to score on; 0 scores the fitted ones.
        pairs: "own" value of the held factor per pair, or one "shared" by all images of a point.
        standardise: divide the differences of each code by their standard deviation over the fitted points.
        solver: "lbfgs" (multinomial) or "liblinear" (one against the rest).
        adjusted: rescale so that chance is 0.

    Examples:
        A code of its own for each factor of a 3 x 4 grid, and codes that are all constant:

        >>> import numpy as np
        >>> from disbench.metrics import beta_vae
        >>> factors = np.stack(np.unravel_index(np.arange(12), (3, 4)), axis=1)
        >>> few = {"votes": 200, "eval_votes": 100}
        >>> beta_vae(factors, (3, 4), rng=np.random.default_rng(0), **few).score
        1.0
        >>> beta_vae(0 * factors, (3, 4), rng=np.random.default_rng(0), **few).score
        0.5
    """
    grid = as_space("beta_vae", grid)
    if solver not in ("lbfgs", "liblinear"):
        raise unknown("solver of beta_vae", solver, ("lbfgs", "liblinear"))
    encode = voting.encoder("beta_vae", codes, grid)
    factor, drawn = draw(grid, rng, batch, votes, eval_votes, pairs)
    diff = np.concatenate(
        [np.abs(z[:, :batch] - z[:, batch:]).mean(axis=1) for z in voting.batches(encode, drawn)]
    )  # (V, d)
    live = arrays.varying(diff)
    k = len(grid.varying)
    if k == 1:
        # both images of a pair are one, and their difference tells of no code that it is dead
        return Score(
            0.0 if adjusted else 1.0,
            live=np.ones_like(live),
            warnings=voting.about_one(k),
            n_encoded=drawn.size,
        )
    if not live.any():
        return voting.no_live_code(k, live, adjusted, drawn.size)
    fit, test = slice(0, votes), slice(votes, None) if eval_votes else slice(0, votes)
    if len(np.unique(factor[fit])) == 1:
        return Score(
            1.0, live=live, warnings=("only one factor was held, so there is nothing to tell apart",)
        )
    if not standardise:
        checks.check_size("beta_vae", diff, "standardise=True")
    # a constant column has a deviation of rounding
    standard = arrays.ratio(diff, np.where(arrays.varying(diff[fit]), diff[fit].std(axis=0), 0.0))

    def accuracies(points: Floats) -> tuple[float, float]:
        if solver == "lbfgs":
            model = logistic.Problem(points[fit], factor[fit]).solve(max_iter=max_iter)
            return model.accuracy(points[fit], factor[fit]), model.accuracy(points[test], factor[test])
        classifier = OneVsRestClassifier(LogisticRegression(solver="liblinear", max_iter=max_iter))
        classifier.fit(points[fit], factor[fit])
        return classifier.score(points[fit], factor[fit]), classifier.score(points[test], factor[test])

    train, accuracy = accuracies(standard if standardise else diff)
    parts: dict[str, float | Floats] = {"train_accuracy": train, "eval_accuracy": accuracy}
    held = [diff[factor == j] for j in grid.varying]
    if all(map(len, held)):
        parts["differences"] = np.stack([points.mean(axis=0) for points in held], axis=1)
    scale: tuple[str, ...] = ()
    if not standardise:
        with warnings.catch_warnings():
            # what is told of a fit is told of the one that is scored
            warnings.simplefilter("ignore", ConvergenceWarning)
            standardised = accuracies(standard)[1]
        parts["standardised"] = standardised
        scale = (*checks.about_scale(diff), *_moved(accuracy, standardised, len(factor[test])))
    return Score(
        voting.above_chance(accuracy, k) if adjusted else accuracy,
        parts=parts,
        live=live,
        warnings=(*voting.about_votes(grid, 2 * batch * votes, eval_votes > 0), *scale),
        n_encoded=drawn.size,
    )


def _moved(accuracy: float, standardised: float, points: int) -> tuple[str, ...]:
    """The warning for a score that another unit of the codes would change by more than its own spread."""
    spread = np.sqrt(accuracy * (1 - accuracy) / points)
    if abs(standardised - accuracy) <= max(SPREADS * spread, LEAST):
        return ()
    return (
        f"with standardised differences (standardise=True) it is {standardised:.3f}, not {accuracy:.3f}: "
        "this score depends on the unit of each code",
    )
