"""A trained method as a source: its codes of images, and its generated images counted by class."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.scoring import generators
from disbench.benchmark.scoring.classifier import load_classifier
from disbench.benchmark.scoring.encoded import Encoded, Progress
from disbench.benchmark.scoring.encoding import (
    CHUNK,
    CHUNK_ON_GPU,
    Represent,
    encode,
    posterior,
    representation,
)
from disbench.benchmark.training.seeds import stream
from disbench.errors import UsageError
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.conversion import as_array
from disbench.metrics.registry import Kind
from disbench.models import Method

NO_CATEGORIES = "the method has no categorical code"


@dataclass(frozen=True)
class Trained:
    """A trained method on a data set, as a `scoring.Source`.

    Attributes:
        method: the method, on `device`.
        data: the data set whose images it encodes.
        device: where it encodes them.
        data_dir: folder of the data sets, and of the classifiers of generated images.
        images: from row numbers to images, where the device has them already.
    """

    method: Method
    data: Dataset
    device: torch.device
    data_dir: Path | None = None
    images: Callable[[Ints], Tensor] | None = None

    @property
    def rows(self) -> Ints | None:
        """None: it has codes of all images."""
        return None

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        """The codes (len(rows), d) that `represent` gives in evaluation mode."""
        return self._encode(representation(self.method, self.device), rows, progress).codes

    def encoded(self, rows: Ints, progress: Progress | None = None, need: bool = False) -> Encoded:
        """The same codes, with their log-variances where the method has a posterior of them."""
        if self.no_posterior:
            return self._encode(representation(self.method, self.device), rows, progress)
        return self._encode(posterior(self.method, self.device), rows, progress)

    @functools.cached_property
    def no_posterior(self) -> str:
        """Why there are no log-variances of these codes, by two images; "" if there are."""
        name = type(self.method).__name__
        if type(self.method).gaussians is Method.gaussians:
            return f"{name} has no Gaussian posterior of its codes (`gaussians`)"
        images = (self.images or self.data.images)(np.arange(min(2, len(self.data))))
        with torch.no_grad():
            codes = representation(self.method, self.device)(images)
            given = posterior(self.method, self.device)(images)
        if given is None:
            return f"{name} has no Gaussian posterior of its codes (`gaussians`)"
        if len(given) != 2 or any(part.shape != codes.shape for part in given):
            shapes = ", ".join(str(tuple(part.shape)) for part in given)
            raise UsageError(
                f"{name}.gaussians gave tables {shapes} for codes {tuple(codes.shape)}; return mean and "
                "log-variance of each code."
            )
        if not torch.allclose(given[0], codes, rtol=1e-3, atol=1e-5, equal_nan=True):
            return f"{name}.represent gives other codes than the means of its `gaussians`"
        return ""

    def _encode(self, represent: Represent, rows: Ints, progress: Progress | None) -> Encoded:
        images, chunk = self.images or self.data.images, CHUNK_ON_GPU if self.device.type == "cuda" else CHUNK
        return encode(represent, images, rows, progress, chunk)

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        """See `contingency`."""
        return contingency(self.method, self.data, self.device, self.data_dir)

    def lacks(self, kind: Kind) -> str:
        """Why there can be no metric of this kind of this method, whatever it learns; "" if there can."""
        if kind == "posterior":
            return self.no_posterior
        if kind == "reconstruction":
            made = self.reconstructed(np.arange(min(2, len(self.data))))
            return made if isinstance(made, str) else ""
        if kind == "pictures":
            drawn = self.generator()
            return drawn if isinstance(drawn, str) else ""
        if kind == "clustering":
            noise = self.method.noise(2, torch.Generator(self.device).manual_seed(0))
            self.method.eval()
            with torch.no_grad():
                return "" if self.method.categories(noise) is not None else NO_CATEGORIES
        return ""

    def generator(self) -> generators.Generator | str:
        """The method as what draws pictures; the reason if it cannot."""
        try:
            return generators.of_method(self.method, self.device, type(self.method).__name__)
        except UsageError as error:
            return error.marked

    def reconstructed(self, rows: Ints) -> tuple[Floats, Floats] | str:
        """The images in these rows, and what the method makes of their codes."""
        images, made = self.images or self.data.images, []
        self.method.eval()
        with torch.no_grad():
            for start in range(0, len(rows), CHUNK):
                x = images(rows[start : start + CHUNK]).to(self.device)
                again = self.method.reconstruct(x)
                if again is None:
                    return f"{type(self.method).__name__} decodes no images from their codes"
                made.append((x.cpu().numpy(), as_array(again, "the method's images")))
        before, after = (np.concatenate(part) for part in zip(*made, strict=True))
        return before, after


def contingency(
    method: Method, data: Dataset, device: torch.device, data_dir: Path | None
) -> tuple[ContingencyTable, str] | str:
    """Counts of 1,000 generated images of each category by the class that the frozen classifier gives them.

    Categories are hard one-hot codes, all with the same noise (Ojha et al. 2020).

    Returns:
        The counts, and the classifier with its accuracy and hash in words; or the reason why the method or
        the data set cannot have them.

    Raises:
        UsageError: the classifier of this data set is not there.
    """
    if data.labels is None:
        return f"{data.name} has no classes"
    generator = torch.Generator(device).manual_seed(stream(0, "categories"))
    method.eval()
    with torch.no_grad():
        generated = [method.categories(method.noise(100, generator)) for _ in range(10)]
    # (categories, 100, c, h, w) each
    rounds = [named[1] for named in generated if named is not None]
    if not rounds:
        return NO_CATEGORIES
    classifier = load_classifier(data.name, size=data.shape[1], data_dir=data_dir)
    k, classes = len(rounds[0]), len(classifier.classes)
    counts = np.zeros((k, classes), np.int64)
    for pictures in rounds:
        for category, row in enumerate(pictures.cpu()):
            counts[category] += np.bincount(classifier(row).numpy(), minlength=classes)
    prior = method.class_prior()
    latent_prior = np.full(k, 1 / k) if prior is None else prior.detach().cpu().double().numpy()
    table = ContingencyTable(counts, latent_prior / latent_prior.sum(), data.class_prior)
    return table, f"{classifier.data}, {classifier.accuracy:.2%} right, sha256 {classifier.sha256[:12]}"
