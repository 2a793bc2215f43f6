"""Every method against its paper's equations, written a second time in numpy: losses and gradients.

`paper_losses.py` has the equations, `numpy_nets.py` the layers and the derivatives. Both sides get the same
weights, images and noise, in float64. The gradient of each term is compared for every parameter of the
method, not only for those that learn from it: so a quantity that an equation holds fixed is fixed here too.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from disbench.models import DataInfo, build, configure

from .numpy_nets import Nets, absolute, derivatives, draw_weights, leaky_relu, softmax
from .paper_losses import UPDATES


@dataclasses.dataclass(frozen=True)
class Case:
    """A method with some of its settings, at one step of its training, on small images."""

    method: str
    settings: dict[str, object] = dataclasses.field(default_factory=dict)
    config: str = "mini"
    step: int = 0
    channels: int = 1
    side: int = 8

    def __str__(self):
        told = {**self.settings, "step": self.step, "channels": self.channels}
        return f"{self.method}-{self.config}-" + ",".join(f"{k}={v}" for k, v in told.items())


ANNEALED = {"gamma": 7.0, "capacity": 90.0, "capacity_steps": 100}
TC = {"alpha": 2.0, "beta": 6.0, "gamma": 3.0}
# C_c would rise to 3 nats, but stops at log 3 + log 2
JOINT = {"codes": 3, "discrete": (3, 2), "capacity_z": 40.0, "capacity_c": 3.0, "capacity_steps": 100}
VAE_NETS = ("conv", "burgess", "dlib", "jointvae", "jointvae32", "mlp")

CASES = [
    Case("vae"),
    Case("vae", channels=3),
    *(Case("vae", {"nets": nets}, side=16) for nets in VAE_NETS),
    Case("betavae", {"beta": 4.0}),
    *(Case("annealedvae", ANNEALED, step=t) for t in (0, 1, 50, 99, 100, 1000)),
    Case("dipvae", {"kind": "i", "lambda_od": 3.0, "lambda_d": 30.0}),
    Case("dipvae", {"kind": "ii", "lambda_od": 3.0, "lambda_d": 5.0}),
    Case("factorvae", {"gamma": 6.0, "hidden": 8}),
    Case("betatcvae", {**TC, "estimator": "mws"}),
    Case("betatcvae", {**TC, "estimator": "mss"}),
    *(Case("jointvae", JOINT, step=t) for t in (0, 1, 50, 99, 100, 1000)),
    *(Case("jointvae", JOINT, step=50, channels=c) for c in (2, 3)),
]


class Parity:
    """One case on both sides: the method in torch, and what its equations take, in numpy."""

    BATCH = 4

    def __init__(self, case):
        rng = np.random.default_rng(0)
        data = DataInfo((case.channels, case.side, case.side), 50, class_prior=(0.5, 0.3, 0.2))
        config = configure(case.method, case.config, {"batch": self.BATCH, **case.settings})
        self.method = build(case.method, config, data, 0).double().train()
        self.step = case.step
        self.settings = SimpleNamespace(**dataclasses.asdict(config), **dataclasses.asdict(data))
        self.updates = UPDATES[case.method](self.settings)
        self.weights = draw_weights(self.method, rng)
        self.images = rng.uniform(size=(self.method.images_per_step, *data.shape))
        drawn = self.method.noise(len(self.images), torch.Generator().manual_seed(0))
        self.noise = {k: v.double().numpy() if v.is_floating_point() else v.numpy() for k, v in drawn.items()}

    def in_numpy(self, equations, weights):
        """The terms of a loss by its equations."""
        return equations(Nets(self.method, weights), self.images, self.noise, self.step, self.settings)

    def in_torch(self, loss):
        """The terms of the method's loss, and the gradient of each with respect to every parameter."""
        self.method.load_state_dict({k: torch.tensor(v) for k, v in self.weights.items()})
        noise = {k: torch.tensor(v) for k, v in self.noise.items()}
        step = torch.tensor(self.step, dtype=torch.float64)
        terms = getattr(self.method, loss)(torch.tensor(self.images), noise, step)
        names, parameters = zip(*self.method.named_parameters(), strict=True)
        gradients = {}
        for term, value in terms.items():
            # where a term does not depend on a parameter, zeros
            found = torch.autograd.grad(
                value, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            gradients[term] = dict(zip(names, (g.numpy() for g in found), strict=True))
        return {term: value.item() for term, value in terms.items()}, gradients


def compare(parity):
    """Each term, and its derivative along one random direction for each parameter tensor."""
    rng = np.random.default_rng(1)
    for loss, _, equations in parity.updates:
        terms, gradients = parity.in_torch(loss)
        assert terms == pytest.approx(parity.in_numpy(equations, parity.weights), rel=1e-11), loss
        for name, _ in parity.method.named_parameters():
            along = rng.normal(size=parity.weights[name].shape)
            expected = derivatives(
                lambda w, f=equations: parity.in_numpy(f, w), parity.weights, {name: along}
            )
            for term, slope in expected.items():
                size = np.linalg.norm(along) * max(np.linalg.norm(g) for g in gradients[term].values())
                found = (gradients[term][name] * along).sum()
                assert found == pytest.approx(slope, rel=1e-9, abs=1e-12 * size), (loss, term, name)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_term_and_its_gradient_are_those_of_the_paper(case):
    compare(Parity(case))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_loss_teaches_the_modules_that_the_paper_names(case):
    parity = Parity(case)
    assert [(u.loss, u.modules) for u in parity.method.updates()] == [u[:2] for u in parity.updates]


# known wrong variants, which these comparisons notice


def weights_of_the_first_column(b, n, estimator, like):
    """beta-TCVAE's stratified weights as in the authors' code, which fills a column and not the diagonal."""
    weights = torch.full((b, b), (n - 1) / (n * (b - 1)), dtype=like.dtype)
    weights[:, 0] = 1 / n
    return weights.log()


def one_number_for_all_variances(mu, logvar, kind):
    """DIP-VAE-II as in disent: the diagonal of the matrix of variances, where a diagonal matrix is meant."""
    centred = mu - mu.mean(0)
    return centred.T @ centred / len(mu) + torch.diag(logvar.exp()).mean()


def a_step_late(step, start, end, over):
    return start + (end - start) * ((step - 1).clamp(min=0) / over).clamp(max=1.0)


WRONG = {
    "mean over pixels": (
        Case("vae"),
        "disbench.models.vae.bernoulli_nll",
        F.binary_cross_entropy_with_logits,
    ),
    "codes that pass the gradient of D's loss": (Case("factorvae"), "torch.Tensor.detach", lambda z: z),
    "weights of the first column": (
        Case("betatcvae", {"estimator": "mss"}),
        "disbench.models.betatcvae.log_weights",
        weights_of_the_first_column,
    ),
    "one number for all variances": (
        Case("dipvae", {"kind": "ii"}),
        "disbench.models.dipvae.covariance",
        one_number_for_all_variances,
    ),
    "a capacity that is a step late": (
        Case("annealedvae", ANNEALED, step=50),
        "disbench.models.method.linear",
        a_step_late,
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_variant_is_noticed(wrong, monkeypatch):
    case, target, variant = WRONG[wrong]
    compare(Parity(case))
    monkeypatch.setattr(target, variant)
    with pytest.raises(AssertionError):
        compare(Parity(case))


# the derivatives themselves


def test_derivatives_by_hand():
    """Of e^x / (e^x + e^y), of |x| and of a leaky ReLU on either side of their kinks, along (1, 2)."""
    p = 1 / (1 + np.exp(2.5))

    def f(w):
        return {
            "softmax": softmax(w["x"])[0],
            "absolute": absolute(w["x"]).sum(),
            "leaky": leaky_relu(w["x"], 0.2).sum(),
        }

    found = derivatives(f, {"x": np.array([-1.0, 1.5])}, {"x": np.array([1.0, 2.0])})
    assert found == pytest.approx({"softmax": p * (1 - p) * (1 - 2), "absolute": -1 + 2, "leaky": 0.2 + 2})


@pytest.mark.parametrize("name", UPDATES)
def test_derivatives_are_limits_of_differences(name):
    """Along all weights of what learns; steps ten times as large cross kinks of ReLUs."""
    parity = Parity(next(case for case in CASES if case.method == name))
    rng = np.random.default_rng(2)
    for _, learners, equations in parity.updates:
        learning = [k for k in parity.weights if k.split(".")[0] in learners]
        along = {k: rng.normal(size=parity.weights[k].shape) for k in learning}
        slopes = derivatives(lambda w, f=equations: parity.in_numpy(f, w), parity.weights, along)

        def shifted(h, f=equations, along=along):
            return parity.in_numpy(f, {k: w + h * along.get(k, 0) for k, w in parity.weights.items()})

        for h in (1e-6, 1e-7):
            above, below = shifted(h), shifted(-h)
            differences = {term: (above[term] - below[term]) / (2 * h) for term in slopes}
            assert differences == pytest.approx(slopes, rel=1e-6), h
