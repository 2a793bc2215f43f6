"""Every method against its paper's equations, written a second time in numpy: losses and gradients.

`paper_losses.py` has the equations, `numpy_nets.py` the layers and the derivatives. Both sides get the same
weights, images and noise, in float64. The gradient of each term is compared for every parameter of the
method, not only for those that learn from it: so a quantity that an equation holds fixed is fixed here too.
"""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from disbench.models import DataInfo, build, configure
from disbench.models.transformations import rotate_crop_zoom

from .numpy_nets import Nets, absolute, derivatives, draw_weights, leaky_relu, softmax
from .paper_losses import UPDATES, official_view


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


# the KLs of single images lie on both sides of C at step 50
ANNEALED = {"gamma": 7.0, "capacity": 4.0, "capacity_steps": 100}
TC = {"alpha": 2.0, "beta": 6.0, "gamma": 3.0}
# C_c would rise to 3 nats, but stops at log 3 + log 2, which it reaches between steps 59 and 60; the KLs of
# single images lie on both sides of C_z at step 50, and of C_c at step 1
JOINT = {"codes": 3, "discrete": (3, 2), "capacity_z": 1.6, "capacity_c": 3.0, "capacity_steps": 100}
SMALL = {"codes": 2, "width": 2, "width_d": 2, "base": 4}
FADING = {"noise_start": 0.8, "noise_end": 0.2, "noise_steps": 10}
MODIFIED = {"channels": (3, 2), "noise": 2, "continuous": 2, "lam": 0.3, "lam_categorical": 0.7}
CONTRASTED = {"channels": (3, 2), "noise": 2, "continuous": 2, "lam": 0.3, "alpha": 2.0, "begin": 5}
SMALL_LIMIT = {"continuous": 2, "width": 2, "base": 2}
ELASTIC = {
    "z": 2,
    "k": 3,
    "width": 2,
    "hidden": 4,
    "middle": 3,
    "tau": 0.5,
    "temperature": 0.5,
    "lam_info": 0.8,
}
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
    *(Case("jointvae", JOINT, step=t) for t in (0, 1, 50, 59, 60, 100, 1000)),
    *(Case("jointvae", JOINT, step=50, channels=c) for c in (2, 3)),
    *(Case("gan", {**SMALL, **FADING}, step=t) for t in (0, 1, 5, 10, 1000)),
    Case("gan", {**SMALL, **FADING, "spectral": False}, step=5, channels=3),
    Case("gan", {**SMALL, "d_steps": 2, "g_steps": 3}),
    Case("infogan", MODIFIED),
    Case("infogan", {**MODIFIED, "continuous": 0, "categorical": (3,)}, channels=3),
    Case("infogan", {**MODIFIED, "noise": 0, "categorical": (3, 2), "prior": "normal"}),
    *(
        Case("infogan", {**MODIFIED, "q_optimizer": of, "inform_generator": informed})
        for of, informed in (("d", False), ("g", True), ("g", False))
    ),
    Case("infogan", config="mnist", side=4),
    Case("infogan", {"channels": (3, 2)}, "mini_mnist"),
    *(Case("infogan", {**SMALL_LIMIT, **FADING}, "limit", step=t) for t in (0, 5, 1000)),
    *(Case("infogan_cr", CONTRASTED, step=t) for t in (4, 5, 1000)),
    Case("infogan_cr", {**CONTRASTED, "continuous": 3}, step=5, channels=3),
    Case("infogan_cr", {**CONTRASTED, "alpha": 0.0}, step=5),
    *(Case("ibgan", {**SMALL, "z": 3, **FADING}, step=t) for t in (0, 1, 5, 10, 1000)),
    Case("ibgan", {**SMALL, "z": 3, **FADING, "spectral": False}, step=5, channels=3),
    # the KL of these weights lies between the two guards
    *(Case("ibgan", {**SMALL, "z": 3, "beta": 0.0, "guard": nats}) for nats in (1.0, 1000.0)),
    Case("ibgan", {**SMALL, "z": 3, "lam": 2.0, "smoothing": True}),
    Case("ibgan", {**SMALL, "z": 3, "d_steps": 3, "g_steps": 2}),
    Case("ibgan", {**SMALL, "z": 3, **FADING}, "celeba", step=5, channels=3, side=16),
    *(
        Case("elastic_infogan", {**ELASTIC, "version": version, "view": view}, channels=channels)
        for version, view, channels in (("v1", "official", 1), ("v2", "official", 3), ("v2", "elastic", 1))
    ),
    *(Case("elastic_infogan", {**ELASTIC, "prior": prior}) for prior in ("uniform", "ground-truth")),
    Case("elastic_infogan", {**ELASTIC, "lam_trans": 0.0, "lam_ent": 0.0}),
    Case("elastic_infogan", {**ELASTIC, "version": "v1", "lam_trans": 0.0, "lam_ent": 2.0}),
    *(Case("elastic_infogan", {**ELASTIC, "augment": T}) for T in ("translation", "cutout", "both")),
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
        self.updates = UPDATES[case.method](self.settings, case.step)
        self.weights = draw_weights(self.method, rng)
        # dark and bright ones, so that an error of one image is not that of the others
        brightness = rng.uniform(-2, 2, size=(self.method.images_per_step, 1, 1, 1))
        self.images = rng.uniform(size=(len(brightness), *data.shape)) ** np.exp(brightness)
        drawn = self.method.noise(len(self.images), torch.Generator().manual_seed(0))
        self.noise = {k: v.double().numpy() if v.is_floating_point() else v.numpy() for k, v in drawn.items()}

    def in_numpy(self, update, weights):
        """The terms of a loss by its equations, and the weights with the buffers as it leaves them."""
        nets = Nets(self.method, weights)
        terms = update.equations(nets, self.images, self.noise, self.step, self.settings)
        return terms, nets.weights

    def slopes(self, update, along):
        """The derivative of each term along a direction, given by name of the weights."""
        return derivatives(lambda weights: self.in_numpy(update, weights)[0], self.weights, along)

    def directions(self, rng):
        """Pairs of a module and a direction of all its weights, by their names; two for each module."""
        names = [name for name, _ in self.method.named_parameters()]
        for module in {name.split(".")[0]: None for name in names}:
            own = [name for name in names if name.startswith(f"{module}.")]
            for _ in range(2):
                yield module, {name: rng.normal(size=self.weights[name].shape) for name in own}

    def in_torch(self, loss):
        """The terms of the method's loss, their gradients for every parameter, and the buffers after it."""
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
            gradients[term] = dict(zip(names, (g.numpy(force=True) for g in found), strict=True))
        buffers = {
            name: buffer.numpy() for name, buffer in self.method.named_buffers() if "num_batches" not in name
        }
        return {term: value.item() for term, value in terms.items()}, gradients, buffers


def compare(parity):
    """Each term; its derivatives along two random directions of the weights of each module; the buffers."""
    rng = np.random.default_rng(1)
    for update in parity.updates:
        terms, gradients, buffers = parity.in_torch(update.loss)
        expected, after = parity.in_numpy(update, parity.weights)
        assert terms.keys() == expected.keys(), update.loss
        for term, value in expected.items():
            assert terms[term] == pytest.approx(value, rel=1e-11), (update.loss, term)
        for module, along in parity.directions(rng):
            for term, slope in parity.slopes(update, along).items():
                found = sum((gradients[term][name] * d).sum() for name, d in along.items())
                most = sum(np.abs(g).sum() for g in gradients[term].values())
                assert found == pytest.approx(slope, rel=1e-9, abs=1e-13 * most), (update.loss, term, module)
        for name, buffer in buffers.items():
            np.testing.assert_allclose(buffer, after[name], rtol=1e-10, err_msg=f"{update.loss}, {name}")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_training_step_is_that_of_the_paper(case):
    parity = Parity(case)
    updates = [(u.at(case.step), u.modules, u.times) for u in parity.method.updates() if u.at(case.step)]
    assert updates == [(u.loss, u.modules, u.times) for u in parity.updates]
    compare(parity)


def test_every_turn_of_elastic_infogans_library_crops_the_rectangle_of_its_formula():
    """0, -1, 2, -3, ... 20 degrees. Without its -tan^2, rounding would differ at 7, 11, 18, 19 and 20."""
    rng = np.random.default_rng(0)
    turns = np.array([(-1) ** d * (d + 0.5) / 21 for d in range(21)])
    zooms, pictures = rng.uniform(-1, 1, 21), rng.uniform(size=(21, 1, 12, 12))
    settings = SimpleNamespace(rotation=20, zoom=0.1)
    found = rotate_crop_zoom(*map(torch.tensor, (pictures, turns, zooms)), 20, 0.1)
    expected = [official_view(*drawn, settings) for drawn in zip(pictures, turns, zooms, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


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


def counting_itself(h, h_moved, temperature):
    """NT-Xent in which each view is among the others."""
    views = F.normalize(torch.cat([h, h_moved]), dim=1)
    log_p = (views @ views.T / temperature).log_softmax(1)
    return -torch.cat([log_p.diagonal(len(h)), log_p.diagonal(-len(h))]).mean()


def by_running_statistics(x, mean, variance, weight, bias, training, momentum, eps, of=F.batch_norm):
    """Batch norm with running statistics while it learns."""
    return of(x, mean, variance, weight, bias, False, momentum, eps)


def a_step_late(step, start, end, over):
    return start + (end - start) * ((step - 1).clamp(min=0) / over).clamp(max=1.0)


WRONG = [
    # what is replaced, by what, in which case; and the loss, term and module of a gradient that show it
    (
        "disbench.models.vae.bernoulli_nll",
        F.binary_cross_entropy_with_logits,
        Case("vae"),
        ("loss", "reconstruction"),
    ),
    ("disbench.models.method.linear", a_step_late, Case("annealedvae", ANNEALED, step=50), ("loss", "kl")),
    (
        "disbench.models.dipvae.covariance",
        one_number_for_all_variances,
        Case("dipvae"),
        ("loss", "off_diagonal"),
    ),
    (
        "disbench.models.betatcvae.log_weights",
        weights_of_the_first_column,
        Case("betatcvae", {"estimator": "mss"}),
        ("loss", "mi"),
    ),
    # what is not detached
    ("torch.Tensor.detach", lambda x: x, Case("factorvae"), ("discriminator_loss", "joint", "encoder")),
    (
        "torch.Tensor.detach",
        lambda x: x,
        Case("gan", {**SMALL, "spectral": False}),
        ("discriminator_loss", "fake", "g"),
    ),
    (
        "torch.nn.functional.batch_norm",
        by_running_statistics,
        Case("elastic_infogan", ELASTIC),
        ("discriminator_loss", "real"),
    ),
    (
        "disbench.models.elastic_infogan.nt_xent",
        counting_itself,
        Case("elastic_infogan", ELASTIC),
        ("generator_loss", "trans"),
    ),
]


@pytest.mark.parametrize(("target", "variant", "case", "noticed"), WRONG)
def test_a_wrong_variant_is_noticed(target, variant, case, noticed, monkeypatch):
    compare(Parity(case))
    monkeypatch.setattr(target, variant)
    with pytest.raises(AssertionError, match=re.escape(str(noticed))):
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


@pytest.mark.parametrize("name", ["betatcvae", "factorvae", "jointvae", "ibgan"])
def test_derivatives_are_limits_of_differences(name):
    """Along all weights of what learns. Larger steps cross kinks of ReLUs.

    Spectral norms would not agree: their u and v are held, and differences move them.
    """
    cases = [Parity(case) for case in CASES if case.method == name]
    parity = next(p for p in cases if not any(k.endswith(".u") for k in p.weights))
    rng = np.random.default_rng(2)
    for update in parity.updates:
        learning = [k for k in parity.weights if k.split(".")[0] in update.modules]
        along = {k: rng.normal(size=parity.weights[k].shape) for k in learning}
        h = 1e-7
        above, below = (
            parity.in_numpy(update, {k: w + way * h * along.get(k, 0) for k, w in parity.weights.items()})[0]
            for way in (1, -1)
        )
        differences = {term: (above[term] - below[term]) / (2 * h) for term in above}
        assert differences == pytest.approx(parity.slopes(update, along), rel=1e-6)
