"""Optimisers against their published equations, and Adam where tensors do not lie in memory alike."""

import numpy as np
import pytest
import torch

from disbench.models import DataInfo, configure, get
from disbench.models.optimizer import adam

LAST = torch.channels_last


def plain(weight):
    return torch.optim.Adam([weight], lr=1e-2, betas=(0.5, 0.9), foreach=False, fused=False)


def test_a_gradient_may_lie_in_another_order_than_its_weight():
    torch.manual_seed(0)
    start = torch.randn(3, 4, 2, 2)
    ours, theirs = start.to(memory_format=LAST), start.clone()
    made, expected = adam(1e-2, 0.5, 0.9).over([ours]), plain(theirs)
    for _ in range(3):
        ours.grad = torch.randn(3, 4, 2, 2)
        theirs.grad = ours.grad.clone()
        made.step()
        expected.step()
    torch.testing.assert_close(ours, theirs)


def test_a_state_may_come_from_weights_in_another_order():
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 4, 2, 2), torch.randn(2, 3, 4, 2, 2)
    first, whole = start.clone(), start.clone()
    before, expected = adam(1e-2, 0.5, 0.9).over([first]), plain(whole)
    first.grad = gradients[0]
    before.step()
    for gradient in gradients:
        whole.grad = gradient
        expected.step()
    second = first.to(memory_format=LAST)
    after = adam(1e-2, 0.5, 0.9).over([second])
    after.load_state_dict(before.state_dict())
    second.grad = gradients[1]
    after.step()
    torch.testing.assert_close(second, whole)


# the published equations


def adam_in_numpy(theta, gradients, alpha, beta1, beta2, epsilon=1e-8):
    """Kingma & Ba 2015, algorithm 1."""
    m = v = 0
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta = theta - alpha * m_hat / (np.sqrt(v_hat) + epsilon)
    return theta


def rmsprop_in_numpy(theta, gradients, alpha, mu, gamma=0.99, epsilon=1e-8):
    """Tieleman & Hinton 2012, lecture 6.5, with momentum; gamma and epsilon are those of IB-GAN's code."""
    mean_square = velocity = 0
    for g in gradients:
        mean_square = gamma * mean_square + (1 - gamma) * g**2
        velocity = mu * velocity + g / (np.sqrt(mean_square) + epsilon)
        theta = theta - alpha * velocity
    return theta


def adagrad_in_numpy(theta, gradients, eta, epsilon=1e-10):
    """Duchi, Hazan & Singer 2011, with the diagonal of G."""
    total = 0
    for g in gradients:
        total = total + g**2
        theta = theta - eta * g / (np.sqrt(total) + epsilon)
    return theta


@pytest.mark.parametrize(
    ("method", "config", "loss", "steps", "published"),
    [
        ("vae", "paper", "loss", adam_in_numpy, (1e-4, 0.9, 0.999)),
        ("betavae", "higgins2017", "loss", adagrad_in_numpy, (1e-2,)),
        ("annealedvae", "paper", "loss", adam_in_numpy, (5e-4, 0.9, 0.999)),
        ("factorvae", "paper", "loss", adam_in_numpy, (1e-4, 0.9, 0.999)),
        ("factorvae", "paper", "discriminator_loss", adam_in_numpy, (1e-4, 0.5, 0.9)),
        ("betatcvae", "paper", "loss", adam_in_numpy, (1e-3, 0.9, 0.999)),
        ("jointvae", "paper", "loss", adam_in_numpy, (5e-4, 0.9, 0.999)),
        ("ibgan", "paper", "discriminator_loss", rmsprop_in_numpy, (1e-6, 0.9)),
        ("ibgan", "paper", "generator_loss", rmsprop_in_numpy, (5e-5, 0.9)),
        ("infogan", "paper", "discriminator_loss", adam_in_numpy, (2e-3, 0.5, 0.999)),
        ("infogan", "paper", "generator_loss", adam_in_numpy, (1e-3, 0.5, 0.999)),
        ("infogan_cr", "paper", "contrast_loss", adam_in_numpy, (2e-3, 0.5, 0.999)),
        ("infogan", "mnist", "discriminator_loss", adam_in_numpy, (2e-4, 0.5, 0.999)),
        ("infogan", "mnist", "generator_loss", adam_in_numpy, (1e-3, 0.5, 0.999)),
        ("elastic_infogan", "paper", "discriminator_loss", adam_in_numpy, (2e-4, 0.5, 0.999)),
        ("elastic_infogan", "paper", "generator_loss", adam_in_numpy, (2e-4, 0.5, 0.999)),
    ],
)
def test_three_steps_are_those_of_the_published_equations(method, config, loss, steps, published):
    with torch.device("meta"):
        updates = get(method)(configure(method, config), DataInfo((1, 64, 64), 1000)).updates()
    (update,) = [u for u in updates if u.loss == loss]
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(2, 3)), rng.normal(size=(3, 2, 3))
    theta = torch.tensor(start)
    optimizer = update.optimizer.over([theta])
    for g in gradients:
        theta.grad = torch.tensor(g)
        optimizer.step()
    moved = steps(start, gradients, *published) - start
    np.testing.assert_allclose(theta.numpy() - start, moved, rtol=1e-9)
