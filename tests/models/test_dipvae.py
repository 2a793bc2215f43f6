"""DIP-VAE against numbers worked out by hand.

Variants seen failing here: a diagonal of the matrix of variances where a diagonal matrix is meant, so that
one number is added to every entry of C (nmichlo/disent, issue 5); its mean on the whole diagonal; a
covariance without the mean subtracted; one divided by B - 1; log-variances instead of variances; the diagonal
left in the first sum; and C_ii^2 instead of (C_ii - 1)^2.
"""

import pytest
import torch

from disbench.models import get
from disbench.models.dipvae import covariance

# Cov = [[1/2, 1], [1, 2]] around a mean of (3, 5); variances of 1 and 4 in the mean of the four images
MU = torch.tensor([[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [0.0, 0.0]]) + torch.tensor([3.0, 5.0])
LOGVAR = torch.tensor([[0.5, 6.0], [1.5, 2.0], [1.0, 3.0], [1.0, 5.0]]).log()


@pytest.mark.parametrize(
    ("kind", "expected"), [("i", [[0.5, 1.0], [1.0, 2.0]]), ("ii", [[1.5, 1.0], [1.0, 6.0]])]
)
def test_the_covariance_of_four_images(kind, expected):
    torch.testing.assert_close(covariance(MU, LOGVAR, kind), torch.tensor(expected))


def test_of_the_second_kind_it_is_the_covariance_of_the_samples():
    g = torch.Generator().manual_seed(0)
    eps = torch.randn(100_000, 4, 2, generator=g)
    z = (MU + (0.5 * LOGVAR).exp() * eps).reshape(-1, 2)
    torch.testing.assert_close(torch.cov(z.T), covariance(MU, LOGVAR, "ii"), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("kind", "diagonal"),
    # (1/2 - 1)^2 + (2 - 1)^2 and (3/2 - 1)^2 + (6 - 1)^2
    [("i", 1.25), ("ii", 25.25)],
)
def test_the_penalties_by_hand(make, kind, diagonal):
    """Off the diagonal stands 1 twice, for either kind."""
    method = make("dipvae", changes={"kind": kind, "lambda_od": 3, "lambda_d": 10})
    terms = method.penalty(MU, MU, LOGVAR, torch.tensor(0.0))
    assert terms["off_diagonal"].item() == pytest.approx(3 * 2)
    assert terms["diagonal"].item() == pytest.approx(10 * diagonal)


def test_the_prior_itself_has_no_penalty(make):
    """Means of variance 0 and posteriors of variance 1: KL 0, C = I."""
    method = make("dipvae")
    terms = method.penalty(torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(4, 3), torch.tensor(0.0))
    assert [value.item() for value in terms.values()] == pytest.approx([0, 0, 0])


def test_without_strengths_it_is_the_vae(make, inputs):
    method, plain = make("dipvae", changes={"lambda_od": 0, "lambda_d": 0}), make("vae")
    terms, expected = (m.loss(*inputs(plain, 0, 0)) for m in (method, plain))
    assert terms["off_diagonal"] == terms["diagonal"] == 0
    assert terms["kl"] == expected["kl"]
    assert terms["reconstruction"] == expected["reconstruction"]


def test_the_settings_of_the_study_are_those_of_disentanglement_lib():
    method = get("dipvae")
    config = method.CONFIGS["dlib"]
    assert (config.steps, config.lr, config.batch, config.codes) == (300_000, 1e-4, 64, 10)
    for kind, ratio in (("i", 10), ("ii", 1)):
        changes = [v for v in method.VARIANTS.values() if v["kind"] == kind]
        assert [c["lambda_od"] for c in changes] == [1, 2, 5, 10, 20, 50]
        assert all(c["lambda_d"] == ratio * c["lambda_od"] for c in changes)
