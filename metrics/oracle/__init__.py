"""Reads a picture back to the factors of a data set whose images are all known.

- `nearest`: the exact nearest of many stored images, found without looking at most of them;
- `reading`: pictures to factors, with symmetries, ties and distances.

Nothing here knows a data set: images come in as arrays, factors as a grid.
"""

from disbench.metrics.oracle.nearest import Bits as Bits
from disbench.metrics.oracle.nearest import Levels as Levels
from disbench.metrics.oracle.nearest import Nearest as Nearest
from disbench.metrics.oracle.reading import Oracle as Oracle
from disbench.metrics.oracle.reading import Reading as Reading
from disbench.metrics.oracle.reading import Symmetry as Symmetry

__all__ = ["Bits", "Levels", "Nearest", "Oracle", "Reading", "Symmetry"]
