"""FactorVAE metric, also "Z-min variance": Kim & Mnih 2018, arXiv:1802.05983, section 4.

One factor is held and the others vary. The code that moves least, relative to its variance over the data,
votes for that factor. A majority table of such votes is a classifier from codes to factors, and its accuracy
is the score.

    symbol   here       shape     meaning
    L        batch                images per vote
    k        factor     (V,)      the factor held in each vote
    s_d^2    variance   (d,)      variance of code d over the data
    d*       winner     (V,)      argmin_d Var_batch(z_d) / s_d^2, ties to the lowest d
    V_dk     counts     (d, k)    votes

Deviations: the paper recognises collapsed codes by their KL to the prior, without a threshold. `kim2018`
takes .1 nats where there is a posterior, see `live`, and `dupont2018` 1 nat, as its author's code does; else,
and in the other presets, the rule is on their variance over the data. That `dupont2018` is scored on the
votes that were fitted is our reading of its 500 votes. A constant code never wins, whatever the rule.

Variants:

| preset | votes | images a vote | collapsed codes | scored on |
|---|---|---|---|---|
| `kim2018` | 800 + 800 | 200 | KL below .1; without a posterior, std below .05 | fresh votes |
| `dlib` | 10,000 + 5,000 | 64 | std below .05 | fresh votes |
| `disent` | 10,000 + 5,000 | 64 | none | fresh votes |
| `ibgan` | 800 | 200 | **variance** below .05 | the votes it was fitted on |
| `dupont2018` | 500 | 100 | KL below 1; without a posterior, std below .05 | the votes it was fitted on |
| `infogan_cr` | 500 | 100 | none | the votes it was fitted on |
| `ubisoft` | 800 + 800 | 200 | std below .05 | fresh votes, rescaled so that chance is 0 |

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
from disbench.metrics.registry import EncodeRows, Score, Space, as_space, metric
from disbench.ranges import Count, CountOrNone, NotNegative, Several


def draw(
    grid: Space, rng: np.random.Generator, batch: int, votes: int, eval_votes: int, variance_rows: int
) -> tuple[Ints, Ints, Ints]:
    """(rows to measure the spread on, factor of each vote (V,), rows of each vote (V, batch))."""
    spread = voting.draw_rows(grid, rng, variance_rows)
    factor = voting.draw_factor(grid, rng, votes + eval_votes)
    value = rng.integers(np.asarray(grid.sizes)[factor])
    shape = (votes + eval_votes, batch)
    return spread, factor, voting.draw_held(grid, rng, factor[:, None], value[:, None], shape)


def rows(
    grid: Space, rng: np.random.Generator, batch: int, votes: int, eval_votes: int, variance_rows: int
) -> Ints:
    """Row numbers in the order in which the metric asks for them."""
    spread, _, voted = draw(grid, rng, batch, votes, eval_votes, variance_rows)
    return np.concatenate([spread, voted.ravel()])


def stillest(within: Floats, variance: Floats, live: Bools) -> Ints:
    """(V,) The live code with the least variance in the batch, within (V, d), relative to variance (d,)."""
    winner: Ints = np.argmin(np.where(live, within, np.inf) / np.where(live, variance, 1.0), axis=1)
    return winner


@metric(
    kind="sampling",
    paper="arXiv:1802.05983",
    perfect=1.0,
    rows=rows,
    chance="1/k",
    occurring=True,
    presets={
        # disentanglement_lib, config/unsupervised_study_v1
        "dlib": {},
        # the defaults in the code of disentanglement_lib, and disent
        "disent": {"prune": "none"},
        "kim2018": {"batch": 200, "votes": 800, "eval_votes": 800, "prune": "kl"},
        # the author's code for JointVAE, Schlumberger/joint-vae, in its issue 2
        "dupont2018": {
            "batch": 100,
            "votes": 500,
            "eval_votes": 0,
            "variance_rows": 800,
            "prune": "kl",
            "least_kl": 1.0,
        },
        "ibgan": {"batch": 200, "votes": 800, "eval_votes": 0, "variance_rows": 0, "prune": "var"},
        "infogan_cr": {"batch": 100, "votes": 500, "eval_votes": 0, "prune": "none"},
        "ubisoft": {"batch": 200, "votes": 800, "eval_votes": 800, "adjusted": True},
    },
    depends_on=("scale", "common scale"),
)
def factor_vae(
    codes: Floats | EncodeRows,
    grid: Space | tuple[int, ...],
    *,
    rng: np.random.Generator,
    preset: str = "dlib",
    live: Bools | None = None,
    batch: Several = 64,
    votes: Count = 10_000,
    eval_votes: CountOrNone = 5_000,
    variance_rows: CountOrNone = 10_000,
    prune: str = "std",
    threshold: NotNegative = 0.05,
    least_kl: NotNegative = 0.1,
    adjusted: bool = False,
) -> Score:
    """Accuracy of a majority vote from the code that moves least to the factor held (FactorVAE metric).

    Args:
        codes: (N, d) over the whole grid, or a function of row numbers (m,) to codes (m, d).
        grid: the factor sizes, or the values that occur (`occurring`).
        rng: draws the factors and the rows.
        live: (d,) True for the codes that may win, for example by their KL; replaces `prune`.
        batch: images per vote.
        votes: votes that make the table.
        eval_votes: votes that are scored by it; 0 scores those that made it.
        variance_rows: images for the variance of each code over the data; 0 takes those of the votes.
        prune: rule for collapsed codes, see `voting.live_codes`.
        threshold: of that rule.
        least_kl: nats of a live code, for the rule "kl"; who makes the mask `live` goes by it.
        adjusted: rescale so that chance is 0.

    Examples:
        Codes that are the factors of a 3 x 4 grid, and codes that are all constant:

        >>> import numpy as np
        >>> from disbench.metrics import factor_vae
        >>> factors = np.stack(np.unravel_index(np.arange(12), (3, 4)), axis=1)
        >>> factor_vae(factors, (3, 4), rng=np.random.default_rng(0), votes=200, eval_votes=100).score
        1.0
        >>> factor_vae(0 * factors, (3, 4), rng=np.random.default_rng(0), votes=200).score
        0.5
    """
    grid = as_space("factor_vae", grid)
    if variance_rows == 1:
        raise UsageError("factor_vae: variance_rows must be 2 or more, or 0 for the whole data, but is 1")
    encode = voting.encoder("factor_vae", codes, grid)
    spread, factor, voted = draw(grid, rng, batch, votes, eval_votes, variance_rows)
    measured = voting.variance_of(encode, spread) if variance_rows else None
    moments = [voting.batch_moments(z) for z in voting.batches(encode, voted)]
    mean, within = (np.concatenate(part) for part in zip(*moments, strict=True))  # (V, d) each
    variance = voting.total_variance(mean, within, batch) if measured is None else measured
    measured_on = variance_rows or voted.size
    said = voting.about_rule(prune, threshold, live, variance, measured_on, least_kl)
    live = voting.live_codes("factor_vae", variance, prune, threshold, live)
    winner = stillest(within, variance, live)
    n_encoded = len(spread) + voted.size
    return voting.majority(grid, winner, factor, votes, live, adjusted, n_encoded, variance, said)
