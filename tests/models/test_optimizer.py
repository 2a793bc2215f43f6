"""Adam as it is used here, against torch's plain one, when tensors do not lie in memory alike."""

import torch

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
