import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def table() -> np.ndarray:
    """Every combination of three factors of 3, 4 and 5 values, (60, 3): as codes, they are perfect."""
    return np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)
