"""Z-max variance: Kim, Wang, Sahu & Pavlovic 2019, arXiv:1902.01568.

It mirrors the FactorVAE metric: all factors but one are held, and the code that moves most, relative to its
variance over the data, votes for the factor that varied. The accuracy of a majority table of such votes is
the score. It rewards one strong code per factor; the FactorVAE metric rewards a code that is still when its
factor is.

Deviations: the values of the varying factor are drawn with replacement, so that a factor of few values
stands still in a few small batches. A constant code never wins.

Traps:

- A factor of few values stands still in some batches and cannot win there.
- It is blind to copies, as `factor_vae` is.
"""

import numpy as np

from disbench.metrics import voting
from disbench.metrics.arrays import Bools, Floats, Ints
from disbench.metrics.registry import EncodeRows, Grid, Score, as_grid, metric
from disbench.ranges import Count, CountOrNone, NotNegative, Several


def draw(
    grid: Grid, rng: np.random.Generator, batch: int, votes: int, eval_votes: int, variance_rows: int
) -> tuple[Ints, Ints, Ints]:
    """(rows to measure the spread on, factor of each vote (V,), rows of each vote (V, batch))."""
    spread = rng.integers(len(grid), size=variance_rows)
    factor = voting.draw_factor(grid, rng, votes + eval_votes)
    held = rng.integers(len(grid), size=(votes + eval_votes, 1))
    value = rng.integers(np.asarray(grid.sizes)[factor][:, None], size=(votes + eval_votes, batch))
    return spread, factor, voting.hold(held, grid, factor[:, None], value)


def rows(
    grid: Grid, rng: np.random.Generator, batch: int, votes: int, eval_votes: int, variance_rows: int
) -> Ints:
    """Row numbers in the order in which the metric asks for them."""
    spread, _, voted = draw(grid, rng, batch, votes, eval_votes, variance_rows)
    return np.concatenate([spread, voted.ravel()])


@metric(
    kind="sampling",
    paper="arXiv:1902.01568",
    perfect=1.0,
    rows=rows,
    default="kim2019",
    chance="1/k",
    presets={"kim2019": {}, "ubisoft": {"adjusted": True}},
    depends_on=("scale", "common scale"),
)
def z_max_var(
    codes: Floats | EncodeRows,
    grid: Grid | tuple[int, ...],
    *,
    rng: np.random.Generator,
    preset: str = "kim2019",
    live: Bools | None = None,
    batch: Several = 200,
    votes: Count = 800,
    eval_votes: CountOrNone = 800,
    variance_rows: Several = 10_000,
    prune: str = "std",
    threshold: NotNegative = 0.05,
    adjusted: bool = False,
) -> Score:
    """Accuracy of a majority vote from the code that moves most to the factor that varied (Z-max variance).

    Args:
        codes: (N, d) over the whole grid, or a function of row numbers (m,) to codes (m, d).
        grid: the factor sizes.
        rng: draws the factors and the rows.
        live: (d,) True for the codes that may win; replaces `prune`.
        batch: images per vote.
        votes: votes that make the table.
        eval_votes: votes that are scored by it; 0 scores those that made it.
        variance_rows: images for the variance of each code over the data.
        prune: rule for collapsed codes, see `voting.live_codes`.
        threshold: of that rule.
        adjusted: rescale so that chance is 0.
    """
    grid = as_grid("z_max_var", grid)
    encode = voting.encoder("z_max_var", codes, grid)
    spread, factor, voted = draw(grid, rng, batch, votes, eval_votes, variance_rows)
    variance = voting.variance_of(encode, spread)
    within = np.concatenate([voting.batch_moments(z)[1] for z in voting.batches(encode, voted)])  # (V, d)
    said = voting.about_rule(prune, threshold, live, variance, variance_rows)
    live = voting.live_codes("z_max_var", variance, prune, threshold, live)
    winner = np.argmax(np.where(live, within, -1.0) / np.where(live, variance, 1.0), axis=1)
    n_encoded = len(spread) + voted.size
    return voting.majority(grid, winner, factor, votes, live, adjusted, n_encoded, variance, said)
