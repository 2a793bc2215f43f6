"""A program for test_portable.py: what every method and every score is after little work, as digests.

    python portable_digests.py          # in the environment whose kernels it is to use

prints as JSON the versions of the libraries, by method the SHA-256 of seed 0 after 120 steps, scores by
metric, and functions of NumPy. All that it computes depends on the processor through the kernels alone.
"""

import hashlib
import importlib.metadata
import json
import sys

import numpy as np
import torch

import disbench
from disbench import metrics, models
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset
from disbench.benchmark.training.seeds import stream
from disbench.benchmark.training.strategies import Single

STEPS, BATCH = 120, 8
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")
METRICS = ("explicitness", "gaussian_total_correlation", "infomec", "linear_r2", "mcc")


def pixels():
    """60 images of two levels, (60, 1, 32, 32)."""
    return np.random.default_rng(0).integers(0, 2, (60, 1, 32, 32), dtype=np.uint8) * 255


def sha256(weights):
    """The SHA-256 of all bytes of a method's weights and buffers, in the order of their names."""
    named = (weights[name].contiguous().numpy().tobytes() for name in sorted(weights))
    return hashlib.sha256(b"".join(named)).hexdigest()


def digest(name, images):
    """SHA-256 of all weights and buffers of seed 0 after `STEPS` steps under `mini`."""
    config = models.configure(name, "mini", {"batch": BATCH})
    method = models.build(name, config, images.info, stream(0, "weights"))
    trainer = Single([method], images, [0], torch.device("cpu"))
    for _ in range(STEPS):
        trainer.advance()
    return sha256(trainer.state(0).weights)


def scores():
    """Scores of codes that mix four factors, of metrics that use linear algebra."""
    rng = np.random.default_rng(0)
    factors = np.stack(np.unravel_index(np.arange(600), (3, 4, 5, 10)), 1)
    codes = np.hstack([factors @ rng.integers(-4, 5, (4, 5)) / 8, rng.integers(-64, 65, (600, 2)) / 32])
    codes = (codes + rng.integers(-64, 65, codes.shape) / 256).astype(np.float32)
    found = disbench.score(codes, factors=factors, metrics=METRICS)
    # boosted trees by scikit-learn, whether numba is there or not; few, since they take longer than all else
    sys.modules["numba"] = None
    trees = metrics.dci(codes[::2], factors[::2, :2], rng=np.random.default_rng(0), n_jobs=1)
    return {"dci": trees.score.hex(), **{name: found[name].hex() for name in METRICS}}


def functions():
    """SHA-256 of functions of NumPy, whose loops for AVX-512 round in another way."""
    x = np.random.default_rng(0).integers(1, 1 << 20, 1000) / (1 << 16)
    return {f.__name__: hashlib.sha256(f(x).tobytes()).hexdigest() for f in (np.exp, np.log, np.arctan)}


def main():
    torch.set_num_threads(1)
    images = Dataset("toy", "0" * 64, ArrayStorage(pixels()), labels=np.arange(60) % 10)
    print(
        json.dumps(
            {
                "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
                "weights": {name: digest(name, images) for name in models.names()},
                "scores": scores(),
                "functions": functions(),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
