"""Sample quality: how good the pictures of a generator are, by what an oracle reads in them.

With the nearest image g of a picture x of n, among all images of a complete grid of factors:

    on        = share of readable pictures: not empty, of one part, and |x - g|_1 / |g|_1 at most .25
    fidelity  = 1 - mean min(1, |x - g|_1 / |g|_1)
    coverage  = mean over factors i < j of  pairs (v_i, v_j) that occur / those in n real draws
    recall    = mean over coarse cells of  min(1, pictures / expected) / the same of n real draws
    rare      = the same, over the tenth of the cells that is drawn least

    symbol   here               shape   meaning
    x, g     `oracle.quality`   pixels  a picture, and the image of the grid that is nearest to it
    n        quality.n          -       number of pictures
    v_i      `Reading.factors`  (n, k)  factors of g; unreadable pictures cover nothing

The definitions with all details are those of `metrics.oracle.quality`; each preset is one of its shares.

Deviations: none, since no paper has it. It is asked for what papers ask of FID: fidelity (precision) and
coverage (recall), but exact, and in units that say what is wrong.

Traps:

- Coverage and recall depend on n: only equal n compare, and the label says n where it is not the default.
- Noise has fidelity 0, and covers nothing, since it cannot be read.
- No single one of the presets is quality: a generator that draws one sprite well has fidelity 1.
"""

from disbench.metrics.oracle.quality import Quality
from disbench.metrics.registry import Score, metric

SHARES = ("on", "fidelity", "coverage", "recall", "rare")


@metric(
    kind="pictures",
    paper="no paper",
    default="on",
    presets={name: {"share": name} for name in SHARES},
    chance="0 for noise",
    perfect=1.0,
)
def sample_quality(quality: Quality, *, preset: str = "on", share: str = "on") -> Score:
    """Share of a generator's pictures that are readable, true to an image, or cover the factors, in [0, 1].

    Args:
        quality: what `metrics.oracle.quality` says of the pictures.
        preset: which share, by its name.
        share: the same.

    Examples:
        Pictures that are images, of every second value of one factor:

        >>> import numpy as np
        >>> from disbench.metrics import Grid, sample_quality
        >>> from disbench.metrics.oracle import Bits, Oracle
        >>> from disbench.metrics.oracle.quality import quality
        >>> bars = np.repeat(np.eye(4), 2, axis=1)
        >>> oracle = Oracle(Bits(np.packbits(bars > 0, axis=1)), Grid((4,)), (1, 2, 4))
        >>> pictures = np.tile(bars[[0, 2]].reshape(2, 2, 4), (50, 1, 1))
        >>> found = quality(oracle, pictures, oracle.read(pictures), np.random.default_rng(0))
        >>> sample_quality(found, preset="fidelity").score, sample_quality(found, preset="coverage").score
        (1.0, 0.5)
    """
    shares = {name: float(quality.shares[name]) for name in (*SHARES, "empty", "double", "off", "duplicates")}
    return Score(shares[share], parts={**shares, "coverage_of": dict(quality.coverage)})
