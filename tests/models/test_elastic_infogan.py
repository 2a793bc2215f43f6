"""Elastic-InfoGAN: its losses by hand, its transformations, and a prior that learns."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from disbench.errors import UsageError
from disbench.models import DataInfo, build, configure, get
from disbench.models.elastic_infogan import cosine_distance, entropy, nt_xent
from disbench.models.transformations import cut_out, rotate_crop_zoom, rotate_zoom_bend, translate

T = torch.tensor
VARIANTS = get("elastic_infogan").VARIANTS


def close(value, expected, **tolerance):
    assert torch.as_tensor(value).item() == pytest.approx(expected, **tolerance)


def test_entropy_by_hand():
    p = T([[0.5, 0.5, 1e-30], [0.25, 0.25, 0.5], [1.0, 1e-30, 1e-30]])
    close(entropy(p.log()), (math.log(2) + 1.5 * math.log(2) + 0) / 3, rel=1e-5)


def test_cosine_distance_by_hand():
    same, other = T([[0.2, 0.8]]), T([[1.0, 0.0]])
    close(cosine_distance(same, same), 0.0, abs=1e-6)
    close(cosine_distance(other, T([[0.0, 1.0]])), 1.0, abs=1e-6)
    close(
        cosine_distance(torch.cat([same, other]), T([[0.2, 0.8], [0.5, 0.5]])),
        (1 - math.sqrt(0.5)) / 2,
        rel=1e-5,
    )


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_nt_xent_of_orthogonal_images_by_hand(temperature):
    """Partners agree (cosine 1), the two other views are at right angles: -log(e^(1/T) / (e^(1/T) + 2))."""
    h = torch.eye(2)
    e = math.exp(1 / temperature)
    close(nt_xent(h, h, temperature), -math.log(e / (e + 2)), rel=1e-5)


def test_nt_xent_of_views_that_cannot_be_told_apart_is_the_log_of_their_number():
    h = torch.ones(5, 3)
    close(nt_xent(h, h, 1.0), math.log(9), rel=1e-5)


def test_nt_xent_of_swapped_partners_by_hand():
    """Every partner is at right angles (cosine 0); of the two others one agrees: -log(1 / (2 + e))."""
    h = torch.eye(2)
    close(nt_xent(h, h.flip(0), 1.0), math.log(2 + math.e), rel=1e-5)


def test_nt_xent_looks_at_directions_only():
    h, g = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(nt_xent(h, g, 1.0), nt_xent(3 * h, 0.1 * g, 1.0))


def still(n, **moved):
    zero = {"turn": torch.zeros(n), "zoom": torch.zeros(n), "bend": torch.zeros(n, 2, 4, 4)}
    return {**zero, **moved}


def transform(x, noise, *settings):
    return rotate_zoom_bend(x, noise["turn"], noise["zoom"], noise["bend"], *settings)


PICTURES = torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def test_no_movement_leaves_the_image_as_it_is():
    torch.testing.assert_close(transform(PICTURES, still(3), 20.0, 0.1, 0.04), PICTURES)


def test_a_quarter_turn():
    turned = transform(PICTURES, still(3, turn=torch.ones(3)), 90.0, 0.1, 0.04)
    torch.testing.assert_close(turned, PICTURES.rot90(1, (2, 3)), atol=1e-5, rtol=1e-5)


def test_a_zoom_by_two_shows_the_middle_and_by_a_half_the_whole():
    ramp = torch.linspace(-3.5, 3.5, 8).expand(1, 1, 8, 8)
    magnified = transform(ramp, still(1, zoom=torch.ones(1)), 0.0, 1.0, 0.0)
    torch.testing.assert_close(magnified, ramp / 2, atol=1e-5, rtol=1e-5)
    spot = F.pad(torch.ones(1, 1, 4, 4), (2, 2, 2, 2))
    small = transform(torch.ones(1, 1, 8, 8), still(1, zoom=-torch.ones(1)), 0.0, 0.5, 0.0)
    torch.testing.assert_close(small, spot, atol=1e-5, rtol=1e-5)


def test_a_bend_is_a_displacement_in_sides_of_the_image():
    right = torch.zeros(1, 2, 4, 4)
    right[:, 0] = 1.0
    shifted = transform(PICTURES[:1], still(1, bend=right), 0.0, 0.0, 1 / 8)  # one pixel of eight
    torch.testing.assert_close(shifted[..., :-1], PICTURES[:1, :, :, 1:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shifted[..., -1], torch.zeros(1, 2, 8), atol=1e-5, rtol=1e-5)


def test_each_image_is_moved_by_its_own_numbers_within_the_range(make):
    method = make("elastic_infogan")
    noise = method.noise(400, torch.Generator().manual_seed(0))
    for key in ("turn", "zoom", "bend"):
        assert -1 <= noise[key].min() < -0.98
        assert 0.98 < noise[key].max() <= 1
    few = {k: v[:3] for k, v in noise.items()}
    together = transform(PICTURES, few, 20.0, 0.1, 0.04)
    alone = transform(PICTURES[1:2], {k: v[1:2] for k, v in few.items()}, 20.0, 0.1, 0.04)
    torch.testing.assert_close(together[1:2], alone)
    assert 0 <= together.min() <= together.max() <= 1
    assert not torch.allclose(together, PICTURES)


def test_the_prior_learns_from_the_generators_loss(make, inputs, train):
    method = make("elastic_infogan")
    terms = method.generator_loss(*inputs(method, 0, 0))
    gradient = torch.autograd.grad(terms["fool"], method.prior.logits)[0]
    assert gradient.abs().sum() > 0
    torch.testing.assert_close(method.class_prior(), torch.full((10,), 0.1))
    train(method, steps=2)
    p = method.class_prior()
    assert (p - 0.1).abs().max() > 1e-5
    close(p.sum(), 1.0, rel=1e-5)


def test_the_first_step_moves_the_logits_by_so_many_learning_rates(data, inputs, train):
    """Adam's first step is the learning rate times the gradient's sign; the logits' gradient sums to zero."""
    for speed in (1.0, 5.0):
        config = configure("elastic_infogan", "mini", {"prior_speed": speed, "lr": 0.01, "batch": 8})
        method = build("elastic_infogan", config, data, 0)
        train(method, steps=1)
        log_p = method.class_prior().log()
        close(log_p.max() - log_p.min(), 2 * speed * 0.01, rel=1e-3)


def test_no_gradient_passes_through_the_class_that_q_should_name(make, inputs):
    """With the picture held fixed, the cross-entropy does not depend on the prior."""
    method = make("elastic_infogan")
    _, noise, _ = inputs(method, 0, 0)
    code = method.code(noise)
    h = method.trunk(method.paint(noise["z"], code)).detach()
    loss = method.cross_entropy(h, code)
    assert torch.autograd.grad(loss, method.prior.logits, allow_unused=True) == (None,)


def test_codes_follow_the_prior_learned_or_not(data):
    shares = (0.4, 0.3, 0.2, 0.1)
    info = DataInfo(data.shape, data.n, shares)
    for prior in ("learned", "ground-truth"):
        config = configure("elastic_infogan", "mini", {"k": 4, "prior": prior})
        method = build("elastic_infogan", config, info, 0)
        if prior == "learned":
            method.prior.logits.data.copy_((T(shares).log() + 3.0) / config.prior_speed)
        with torch.no_grad():
            code = method.code(method.noise(50_000, torch.Generator().manual_seed(0)))
        torch.testing.assert_close(code.sum(1), torch.ones(50_000))
        frequencies = F.one_hot(code.argmax(1), 4).float().mean(0)
        torch.testing.assert_close(frequencies, T(shares), atol=0.01, rtol=0)
        torch.testing.assert_close(method.class_prior(), T(shares))
        hard = bool(((code == 0) | (code == 1)).all())
        assert hard == (prior != "learned")


def test_the_code_is_the_relaxed_sample_of_its_temperature(make, inputs):
    method = make("elastic_infogan", changes={"tau": 0.1})
    _, noise, _ = inputs(method, 0, 0)
    torch.testing.assert_close(method.code(noise), ((noise["gumbel"] + math.log(0.1)) / 0.1).softmax(1))


EXPECTED = {
    # variant: terms of v1, terms of v2, whether the prior learns
    "uniform": ({"fool", "info"}, {"fool", "info"}, False),
    "ground-truth": ({"fool", "info"}, {"fool", "info"}, False),
    "ground-truth+transform": ({"fool", "info", "trans", "ent"}, {"fool", "info", "trans"}, False),
    "gumbel": ({"fool", "info"}, {"fool", "info"}, True),
    "gumbel+transform": ({"fool", "info", "trans", "ent"}, {"fool", "info", "trans"}, True),
    "elastic": ({"fool", "info", "trans", "ent"}, {"fool", "info", "trans"}, True),
}


def test_the_six_rows_of_the_papers_table_are_there():
    assert list(VARIANTS) == list(EXPECTED)


@pytest.mark.parametrize("variant", EXPECTED)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_row_has_its_terms_and_its_prior(make, inputs, variant, version):
    method = make("elastic_infogan", changes={**VARIANTS[variant], "version": version})
    terms = method.generator_loss(*inputs(method, 0, 0))
    assert set(terms) == EXPECTED[variant][version == "v2"]
    if "ent" in terms:
        assert (terms["ent"].item() > 0) == (variant == "elastic")
    if "trans" in terms:
        assert terms["trans"].item() > 0
    learns = {m for u in method.updates() for m in u.modules}
    assert ("prior" in learns) == EXPECTED[variant][2]
    true = T(method.data.class_prior)
    expected = true if variant.startswith("ground-truth") else torch.full((10,), 0.1)
    torch.testing.assert_close(method.class_prior(), expected)


def test_weights_multiply_their_terms(make, inputs):
    one = make("elastic_infogan", changes={"version": "v1", "lam_info": 1, "lam_trans": 1, "lam_ent": 1})
    many = make("elastic_infogan", changes={"version": "v1", "lam_info": 2, "lam_trans": 10, "lam_ent": 3})
    a, b = (m.generator_loss(*inputs(one, 0, 0)) for m in (one, many))
    for key, weight in {"fool": 1, "info": 2, "trans": 10, "ent": 3}.items():
        close(b[key], weight * a[key].item(), rel=1e-4)


def test_the_constraint_teaches_q_and_not_the_trunk_or_the_generator(make, inputs):
    for version in ("v1", "v2"):
        method = make("elastic_infogan", changes={"version": version})
        x, noise, _ = inputs(method, 0, 0)
        loss = sum(method.constraint(x, noise).values())
        assert (
            torch.autograd.grad(loss, list(method.g.parameters()), allow_unused=True, retain_graph=True)[0]
            is None
        )
        assert torch.autograd.grad(loss, list(method.q.parameters()), allow_unused=True)[0].abs().sum() > 0
        assert {u.loss for u in method.updates() if "trunk" in u.modules} == {"discriminator_loss"}


class Named(nn.Module):
    """A Q that knows the class of every picture."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    def forward(self, h):
        return 100.0 * (self.code == self.code.max(1, keepdim=True).values)


def test_the_bound_of_a_perfect_q_is_the_entropy_of_the_prior(data, inputs):
    shares = (0.5, 0.25, 0.25)
    config = configure("elastic_infogan", "mini", {"k": 3, "prior": "ground-truth", "batch": 8})
    method = build("elastic_infogan", config, DataInfo(data.shape, data.n, shares), 0)
    x, noise, step = inputs(method, 0, 0)
    method.q = Named(method.code(noise))
    shown = method.monitor(x, noise, step)
    close(shown["H_categorical"], 1.5 * math.log(2), rel=1e-5)
    close(shown["L_I_categorical"], 1.5 * math.log(2), rel=1e-5)


def test_a_category_is_drawn_from_a_hard_code(make):
    method = make("elastic_infogan").eval()
    noise = method.noise(5, torch.Generator().manual_seed(0))
    with torch.no_grad():
        pictures = method.sample_category(3, noise)
        latents = torch.cat([noise["z"], F.one_hot(torch.full((5,), 3), 10).float()], 1)
        assert torch.equal(pictures, method.generate(latents))
        assert torch.equal(method.categories(noise)[1][3], pictures)


def test_a_true_prior_needs_labelled_data_with_as_many_classes():
    config = configure("elastic_infogan", "mini", {"prior": "ground-truth"})
    with pytest.raises(UsageError, match="needs data with class labels"):
        build("elastic_infogan", config, DataInfo((1, 28, 28), 100), 0)
    with pytest.raises(UsageError, match="4 classes, but"):
        build("elastic_infogan", config, DataInfo((1, 28, 28), 100, (0.25,) * 4), 0)


def test_the_second_view_is_the_authors_in_paper_and_ours_in_mini(make, inputs):
    assert configure("elastic_infogan", "paper").view == configure("elastic_infogan", "v1").view == "official"
    official, elastic = (make("elastic_infogan", changes={"view": v}) for v in ("official", "elastic"))
    x, noise, _ = inputs(official, 0, 0)
    expected = rotate_crop_zoom(x, noise["turn"], noise["zoom"], 20, 0.1)
    assert torch.equal(official.view(x, noise), expected)
    bent = rotate_zoom_bend(x, noise["turn"], noise["zoom"], noise["bend"], 20.0, 0.1, 0.04)
    assert torch.equal(elastic.view(x, noise), bent)


@pytest.mark.parametrize("rotation", [12.5, 26.0])
def test_the_official_rotation_is_by_whole_degrees_up_to_25(rotation):
    with pytest.raises(UsageError, match=f"rotation={rotation} was given, but view=official needs a whole"):
        configure("elastic_infogan", "paper", {"rotation": rotation})


@pytest.mark.parametrize("augment", ["none", "translation", "cutout", "both"])
def test_all_that_d_sees_is_augmented_and_nothing_that_q_sees(make, inputs, augment):
    method = make("elastic_infogan", changes={"augment": augment})
    x, noise, step = inputs(method, 0, 0)
    seen = []
    method.trunk.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    method.discriminator_loss(x, noise, step)
    method.generator_loss(x, noise, step)
    fake = method.paint(noise["z"], method.code(noise)).detach()

    def moved(images, kind):
        if augment == "none":
            return images
        placed = noise[f"T of {kind}"]
        if augment in ("translation", "both"):
            images = translate(images, placed[:, :2], -1.0)
        return cut_out(images, placed[:, 2:], -1.0) if augment in ("cutout", "both") else images

    of_d = [moved(2 * x - 1, "real"), moved(fake, "fake")]
    of_g = [fake] if augment == "none" else [fake, moved(fake, "fake")]
    of_q = [2 * x - 1, 2 * method.view(x, noise) - 1]
    assert len(seen) == len(of_d + of_g + of_q)
    for given, expected in zip(seen, of_d + of_g + of_q, strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)
    if augment != "none":
        assert not torch.equal(noise["T of real"], noise["T of fake"])


@pytest.mark.parametrize(
    ("steps", "n", "changes", "passes"),
    [
        (4_000, 777, {}, "329 times"),
        (4_000, 1_000, {}, None),
        (4_000, 1_000, {"held_out": 200}, "320 times"),
        (4_000, 777, {"augment": "translation"}, None),
    ],
)
def test_many_passes_over_few_images_are_warned_of(steps, n, changes, passes):
    config = configure("elastic_infogan", "mini", {"steps": steps, "batch": 64, **changes})
    advice = build("elastic_infogan", config, DataInfo((1, 16, 16), n), 0).advice()
    assert (advice is None) == (passes is None)
    if advice:
        assert passes in advice
        assert "augment=translation" in advice


def test_no_more_images_are_held_out_than_leave_one_batch():
    config = configure("elastic_infogan", "mini", {"batch": 8, "held_out": 93})
    with pytest.raises(
        UsageError, match=r"elastic_infogan\.held_out=93 leaves fewer images than the 8 of a step"
    ):
        build("elastic_infogan", config, DataInfo((1, 16, 16), 100), 0)
    build("elastic_infogan", config, DataInfo((1, 16, 16), 101), 0)


def test_the_rating_of_unseen_images_is_that_of_d(make, inputs):
    method = make("elastic_infogan")
    x, noise, step = inputs(method, 0, 0)
    shown = method.monitor_unseen(x, noise, step)
    close(shown["d_unseen"], method.monitor(x, noise, step)["d_real"].item(), rel=1e-5)
