"""FactorVAE metric, also "Z-min variance": Kim & Mnih 2018, arXiv:1802.05983, section 4.

Hold one factor, vary the rest; the code that moves least, relative to how much it moves over the data,
votes for that factor. A majority table of such votes is a classifier from codes to factors, and its
accuracy is the score.

    symbol   here       shape     meaning
    L        batch                images per vote
    k        factor     (V,)      the factor held in each vote
    s_d^2    variance   (d,)      variance of code d over the data
    d*       winner     (V,)      argmin_d Var_batch(z_d) / s_d^2, ties to the lowest d
    V_dk     counts     (d, k)    votes

Variants differ in the number of votes, in which codes count as collapsed, and in whether the votes that
made the table are also the ones it is scored on (`eval_votes=0`), which flatters: see `presets` below.

Deviations: the paper tells collapsed codes by their KL to the prior; without a posterior we use their
spread over the data, or the mask that is passed as `live`. A constant code never wins, whatever the rule.

Variants:

| | votes | images a vote | collapsed codes | scored on |
|---|---|---|---|---|
| `kim2018` | 800 + 800 | 200 | std below .05 (paper: by KL) | fresh votes |
| `dlib` | 10,000 + 5,000 | 64 | std below .05 | fresh votes |
| `disent` | 10,000 + 5,000 | 64 | none | fresh votes |
| `ibgan` | 800 | 200 | **variance** below .05 | the votes it was fitted on |
| `infogan_cr` | 500 | 100 | none | the votes it was fitted on |

Traps:

- **Scoring the fitted votes flatters**: random codes get .26 instead of .20, a mixed representation .88
  instead of .80.
- **The rule for collapsed codes can decide the score.** With no rule, a constant code wins every vote in a
  straightforward implementation (0/0 is NaN, and NaN wins the argmin): 1.00 becomes .20. Here a constant code
  never wins. With a rule on the variance, a good code of small scale (standard deviation below .22) is thrown
  away: 1.00 becomes .80.
- It cannot see order, copies or noise: cyclic codes, two codes of one factor and extra noise codes all score
  1.
- A code with two factors can win one of them only.
- In a few papers the best checkpoint over training is reported. That is another number: see docs/seeds.md.
"""

import numpy as np

from disbench.errors import UsageError
from disbench.metrics import voting
from disbench.metrics.arrays import Bools, Floats, Ints
from disbench.metrics.registry import Grid, Rows, Score, as_grid, metric


def draw(
    grid: Grid, rng: np.random.Generator, batch: int, votes: int, eval_votes: int, variance_rows: int
) -> tuple[Ints, Ints, Ints]:
    """(rows to measure the spread on, factor of each vote (V,), rows of each vote (V, batch))."""
    spread = rng.integers(len(grid), size=variance_rows)
    factor = voting.draw_factor(grid, rng, votes + eval_votes)
    value = rng.integers(np.asarray(grid.sizes)[factor])
    rows = rng.integers(len(grid), size=(votes + eval_votes, batch))
    return spread, factor, voting.hold(rows, grid, factor[:, None], value[:, None])


def rows(
    grid: Grid, rng: np.random.Generator, batch: int, votes: int, eval_votes: int, variance_rows: int
) -> Ints:
    """The row numbers the metric asks for, in order."""
    spread, _, voted = draw(grid, rng, batch, votes, eval_votes, variance_rows)
    return np.concatenate([spread, voted.ravel()])


def stillest(within: Floats, variance: Floats, live: Bools) -> Ints:
    """(V,) The live code of least variance in the batch, within (V, d), relative to variance (d,)."""
    winner: Ints = np.argmin(np.where(live, within, np.inf) / np.where(live, variance, 1.0), axis=1)
    return winner


@metric(
    kind="sampling",
    paper="arXiv:1802.05983",
    rows=rows,
    chance="1/k",
    presets={
        "dlib": {},  # disentanglement_lib, config/unsupervised_study_v1
        "disent": {"prune": "none"},  # the code defaults of disentanglement_lib, and disent
        "kim2018": {"batch": 200, "votes": 800, "eval_votes": 800},
        "ibgan": {
            "batch": 200,
            "votes": 800,
            "eval_votes": 0,
            "variance_rows": 0,
            "prune": "var",
        },
        "infogan_cr": {"batch": 100, "votes": 500, "eval_votes": 0, "prune": "none"},
        "ubisoft": {"batch": 200, "votes": 800, "eval_votes": 800, "adjusted": True},
    },
    depends_on=("scale", "common scale"),
)
def factor_vae(
    codes: Floats | Rows,
    grid: Grid | tuple[int, ...],
    *,
    rng: np.random.Generator,
    preset: str = "dlib",
    live: Bools | None = None,
    batch: int = 64,
    votes: int = 10_000,
    eval_votes: int = 5_000,
    variance_rows: int = 10_000,
    prune: str = "std",
    threshold: float = 0.05,
    adjusted: bool = False,
) -> Score:
    """Accuracy of a majority vote from the code that moves least to the factor held (FactorVAE metric).

    Args:
        codes: (N, d) over the whole grid, or a function of row numbers (m,) to codes (m, d).
        grid: the factor sizes.
        live: (d,) codes that may win, by a rule of your own (a KL, say); replaces `prune`.
        batch: images per vote. votes, eval_votes: to make the table and to score it; 0 scores the same votes.
        variance_rows: images on which the spread of each code is measured; 0 takes the voted ones.
        prune, threshold: which codes count as collapsed, see `voting.live_codes`.
        adjusted: rescale so that chance is 0.
    """
    grid = as_grid("factor_vae", grid)
    if batch < 2 or votes < 1 or eval_votes < 0 or variance_rows == 1:
        raise UsageError(
            "factor_vae: needs batch of 2 or more, votes of 1 or more and variance_rows of 0, 2 or more"
        )
    encode = voting.encoder("factor_vae", codes, grid)
    spread, factor, voted = draw(grid, rng, batch, votes, eval_votes, variance_rows)
    measured = voting.variance_of(encode, spread) if variance_rows else None
    moments = [voting.batch_moments(z) for z in voting.batches(encode, voted)]
    mean, within = (np.concatenate(part) for part in zip(*moments, strict=True))  # (V, d) each
    variance = voting.total_variance(mean, within, batch) if measured is None else measured
    live = voting.live_codes("factor_vae", variance, prune, threshold, live)
    winner = stillest(within, variance, live)
    return voting.majority(grid, winner, factor, votes, live, adjusted, len(spread) + voted.size, variance)
