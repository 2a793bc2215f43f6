"""ModelCentrality: Lin, Thekumparampil, Fanti & Oh 2020, arXiv:1906.06034.

A choice among models without labels. Each model draws images with its own generator and knows the codes that
it drew them from, so that its samples have ground truth. Every other model's encoder is scored on them with
the FactorVAE metric. The model that agrees best with the others, the medoid of the pool, is the choice:

    A_ij = FactorVAE metric of the encoder of model j on images of the generator of model i
    B_ij = 1/2 (A_ij + A_ji)
    s_i  = 1/(M-1) sum_{j != i} B_ij,        choice: argmax_i s_i

    symbol   here        shape     meaning
    M        encoders              number of models
    K_i      codes                 number of codes that generator i is given
    k        held        (V,)      the code held in each vote, each of the K_i in turn
    A        pairwise    (M, M)    NaN on the diagonal, which is not used
    s        models      (M,)      score of each model

A vote is a batch of images in which one code of the generator keeps the value of the batch's first image,
while all its other inputs vary. For the rest of A_ij, see `factor_vae`: the encoder's code that moves least,
relative to its variance over images of that generator, votes for the code that was held, and the score is
the accuracy of the majority table on its own votes. The headline is the mean over models; `parts` has the
score of each, and A.

Deviations: definition and numbers are those of the authors' code, with these differences. The diagonal A_ii
is not computed (there it is, and left out of s). A is the transpose of the matrix there, which B does not
see. All generators draw from the same random numbers, so that the order of the models does not matter.
Variances are divided by n - 1. A constant code never wins, whereas there 0/0 is NaN and wins every vote; an
encoder without any other code scores 1/K_i in both. Of equal scores the first is the choice, there the last.
A code may be categorical; there all are real. The authors' FactorVAE, with 100 votes for each of 10 codes, is
scored by a random sample of the posterior, in which a collapsed code is noise and rarely wins; here codes are
deterministic, and "pruned" leaves collapsed ones out.

Variants:

| preset | votes per code | images a vote | images for the variance | collapsed codes |
|---|---|---|---|---|
| `infogan_cr` | 100 | 100 | 73,728, a tenth of dSprites | none |
| `pruned` | 100 | 100 | 73,728 | std below .05 |
| `quick` | 50 | 50 | those of the votes | none |

The last two are ours.

Traps:

- It rewards agreement, right or wrong: if most models of a pool learn the same entangled axes, one of them is
  chosen. A pool of bad models has a medoid too.
- A score is relative to its pool. The same model has another score among other models.
- A code that the generator ignores cannot be told by anyone: its votes go to whatever wins, and lower the
  scores of all pairs of this generator. The score thus also counts how many codes are in use.
- A is scored on the votes that made its table, which flatters: random encoders get more than 1/K_i.
- Models with different numbers of codes K_i are not on one footing, since guessing among fewer is easier.
- An encoder sees the other generators' images, not data: those of a GAN may lie off everything that it was
  trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass

import numpy as np

from disbench.errors import UsageError
from disbench.metrics import voting
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.factor_vae import stillest
from disbench.metrics.registry import Score, metric
from disbench.ranges import Count, CountOrNone, NotNegative, Several

# Images that a generator draws at a time, so that memory does not grow with the votes.
CHUNK = 4096
# Of two models, both would have the same score.
FEWEST = 3


@dataclass(frozen=True)
class Generator:
    """The generator of a model.

    Attributes:
        codes: number K of codes that it is given and that can be held.
        draw: makes the images of votes. Its arguments are the code that each vote holds (V,), the number B
            of images per vote, and random numbers. It returns V * B images, those of the first vote first; in
            each vote, all have the value of the held code that the first one has, and differ in all else. A
            vote of one image is a free sample. The images can be of any type that the encoders take and that
            has a length.
    """

    codes: int
    draw: Callable[[Ints, int, np.random.Generator], Sized]


def held_codes(codes: int, votes: int) -> Ints:
    """(codes * votes,) The code that each vote holds: each in turn, so that all have equally many votes."""
    return np.arange(codes * votes) % codes


def centrality(pairwise: Floats) -> Floats:
    """(M,) The mean of B over the other models, of the scores A (M, M) of each pair; no diagonal enters."""
    both = (pairwise + pairwise.T) / 2
    others = ~np.eye(len(both), dtype=bool)
    scores: Floats = np.where(others, both, 0.0).sum(axis=1) / (len(both) - 1)
    return scores


class _Reader:
    """What one encoder makes of the images of one generator.

    Args:
        encode: from images to codes (n, d).
    """

    def __init__(self, encode: Callable[[Sized], Floats]) -> None:
        self.encode = encode
        self.n = 0
        self.moments: list[tuple[Floats, Floats]] = []

    def read_freely(self, images: Sized) -> None:
        """Images by which the variance of each code is measured."""
        z = self.encode(images)
        if not self.n:
            # Differences to it are exactly 0 for a code that is constant.
            self.first, self.sum, self.squares = z[0], np.zeros(z.shape[1]), np.zeros(z.shape[1])
        z -= self.first
        self.n += len(z)
        self.sum += z.sum(axis=0)
        self.squares += np.einsum("nd,nd->d", z, z)

    def read_votes(self, images: Sized, batch: int) -> None:
        """Images of whole votes."""
        z = self.encode(images)
        self.moments.append(voting.batch_moments(z.reshape(-1, batch, z.shape[1])))

    def accuracy(self, held: Ints, codes: int, batch: int, prune: str, threshold: float) -> float | None:
        """Accuracy of the majority table on its own votes; None if no code is live."""
        mean, within = (np.concatenate(part) for part in zip(*self.moments, strict=True))  # (V, d) each
        variance: Floats
        if self.n:
            variance = np.maximum(self.squares - self.sum**2 / self.n, 0.0) / (self.n - 1)
        else:
            variance = voting.total_variance(mean, within, batch)
        live = voting.live_codes("model_centrality", variance, prune, threshold, None, by_kl=False)
        if not live.any():
            return None
        counts = voting.vote_counts(stillest(within, variance, live), held, len(live), codes)
        return float(counts.max(axis=1).sum() / counts.sum())


@metric(
    kind="models",
    paper="arXiv:1906.06034",
    default="infogan_cr",
    presets={
        # the authors' code for dSprites
        "infogan_cr": {},
        "pruned": {"prune": "std"},
        "quick": {"votes_per_code": 50, "batch": 50, "variance_rows": 0},
    },
)
def model_centrality(
    encoders: Sequence[Callable[[Sized], Floats]],
    generators: Sequence[Generator],
    *,
    rng: np.random.Generator,
    preset: str = "infogan_cr",
    votes_per_code: Count = 100,
    batch: Several = 100,
    variance_rows: CountOrNone = 73_728,
    prune: str = "none",
    threshold: NotNegative = 0.05,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """How well each model's encoder reads the codes of the other models' generators (parts has the scores).

    Each generator's images are drawn once, some at a time, and encoded once by every other model: M (M-1)
    evaluations for M models.

    Args:
        encoders: of each model, a function of images to codes (n, d).
        generators: of each model, in the same order.
        rng: gives the random numbers that every generator draws with.
        votes_per_code: votes that hold each code of a generator.
        batch: images per vote.
        variance_rows: images of each generator for the variance of an encoder's codes; 0 takes those of the
            votes.
        prune: rule for collapsed codes of an encoder, see `voting.live_codes`.
        threshold: of that rule.
        progress: called with (images encoded, images in all).

    Raises:
        UsageError: fewer than three models, a generator with fewer than two codes, or a function that returns
            another number of images or codes than it was asked for.

    Examples:
        Images are pairs of numbers. The first two models have a code for each, in another order and of
        another sign. Those of the third are the sum and the difference, which move alike when one is held:

        >>> import numpy as np
        >>> from disbench.metrics import model_centrality
        >>> from disbench.metrics.model_centrality import Generator
        >>> def draw(held, batch, rng):
        ...     z = rng.normal(size=(len(held), batch, 2))
        ...     votes = np.arange(len(held))
        ...     z[votes, :, held] = z[votes, :1, held]
        ...     return z.reshape(-1, 2)
        >>> mixed = np.array([[1, 1], [1, -1]])
        >>> encoders = [lambda x: x, lambda x: -x[:, ::-1], lambda x: x @ mixed]
        >>> generators = [Generator(2, draw), Generator(2, draw), Generator(2, lambda *a: draw(*a) @ mixed)]
        >>> score = model_centrality(encoders, generators, rng=np.random.default_rng(0))
        >>> score.parts["pairwise"]
        array([[nan, 1. , 0.5],
               [1. , nan, 0.5],
               [0.5, 0.5, nan]])
        >>> score.parts["models"].tolist(), score.parts["best"]
        ([0.75, 0.75, 0.5], 0)
    """
    _check(encoders, generators, variance_rows)
    own = [voting.checked("model_centrality", encode) for encode in encoders]
    m, others = len(own), len(own) - 1
    total = sum(others * (variance_rows + g.codes * votes_per_code * batch) for g in generators)
    seed, done, dead = int(rng.integers(2**63)), 0, set()
    pairwise = np.full((m, m), np.nan)
    for i, generator in enumerate(generators):
        held = held_codes(generator.codes, votes_per_code)
        readers = {j: _Reader(own[j]) for j in range(m) if j != i}
        for images, several in _drawn(generator, held, batch, variance_rows, np.random.default_rng(seed)):
            for reader in readers.values():
                if several:
                    reader.read_votes(images, batch)
                else:
                    reader.read_freely(images)
                done += len(images)
                if progress is not None:
                    progress(done, total)
        for j, reader in readers.items():
            accuracy = reader.accuracy(held, generator.codes, batch, prune, threshold)
            pairwise[i, j] = 1 / generator.codes if accuracy is None else accuracy
            dead |= {j} if accuracy is None else set()
    models = centrality(pairwise)
    told = f"models {sorted(dead)} have no live code on images of another model and are at chance there"
    return Score(
        models.mean(),
        parts={"models": models, "pairwise": pairwise, "best": int(models.argmax())},
        warnings=(told,) if dead else (),
        n_encoded=total,
    )


def _drawn(
    generator: Generator, held: Ints, batch: int, variance_rows: int, rng: np.random.Generator
) -> Iterator[tuple[Sized, bool]]:
    """The images of a generator in parts, and whether a part is of votes: free samples first."""
    for start in range(0, variance_rows, CHUNK):
        free = np.zeros(min(CHUNK, variance_rows - start), np.int64)
        yield _images(generator, free, 1, rng), False
    step = max(1, CHUNK // batch)
    for start in range(0, len(held), step):
        yield _images(generator, held[start : start + step], batch, rng), True


def _images(generator: Generator, held: Ints, batch: int, rng: np.random.Generator) -> Sized:
    images = generator.draw(held, batch, rng)
    if len(images) != len(held) * batch:
        raise UsageError(
            f"model_centrality: asked a generator for {len(held)} votes of {batch} images, it returned "
            f"{len(images)} images"
        )
    return images


def _check(encoders: Sequence[object], generators: Sequence[Generator], variance_rows: int) -> None:
    if len(encoders) != len(generators):
        raise UsageError(
            f"model_centrality: each model has an encoder and a generator, but there are {len(encoders)} and "
            f"{len(generators)}"
        )
    if len(encoders) < FEWEST:
        raise UsageError(
            f"model_centrality: needs {FEWEST} or more models, since two always have the same score, but got "
            f"{len(encoders)}"
        )
    few = [i for i, generator in enumerate(generators) if generator.codes < 2]
    if few:
        raise UsageError(
            f"model_centrality: the generators of models {few} have fewer than two codes, so that there is "
            "nothing to tell apart"
        )
    if variance_rows == 1:
        raise UsageError("model_centrality: variance_rows must be 2 or more, or 0 for none, but is 1")
