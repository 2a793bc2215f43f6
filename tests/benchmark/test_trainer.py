import numpy as np
import pytest
import torch

from disbench import models
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset
from disbench.benchmark.trainer import DivergedError, Order, StoppedError, Trainer, stream

CPU = torch.device("cpu")


def toy(n=50, side=32):
    pixels = np.random.default_rng(0).integers(0, 2, (n, 1, side, side), dtype=np.uint8) * 255
    return Dataset("toy", "0" * 64, ArrayStorage(pixels))


def trainer(name="betavae", seed=0, data=None, **changes):
    data = data or toy()
    config = models.configure(name, "mini", {"batch": 4, **changes})
    method = models.build(name, config, models.DataInfo(data.shape, len(data)), stream(seed, "weights"))
    return Trainer(method, data, seed, CPU)


def go(made, steps, **hooks):
    told = {
        "log": lambda line: None,
        "progress": lambda step: None,
        "save": lambda s: None,
        "stop": lambda: False,
    }
    made.method.train()
    made.run(steps, **{**told, **hooks})
    return made.method.state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_an_epoch_shows_every_image_once_and_epochs_differ():
    order = Order(n=20, batch=4, seed=1)
    first = np.concatenate([order.rows(s) for s in range(5)])
    second = np.concatenate([order.rows(s) for s in range(5, 10)])
    assert sorted(first) == list(range(20)) == sorted(second)
    assert (first != second).any()


def test_the_incomplete_last_batch_is_left_out():
    order = Order(n=10, batch=4, seed=1)
    assert len(order.rows(1)) == 4
    assert (order.rows(2) != order.rows(0)).any()  # step 2 is the next epoch's first


def test_a_set_smaller_than_a_batch_is_drawn_from_with_replacement():
    rows = Order(n=3, batch=8, seed=0).rows(5)
    assert len(rows) == 8
    assert set(rows) <= {0, 1, 2}


def test_streams_differ_by_name_and_seed_and_stay_what_they_are():
    assert len({stream(s, n) for s in range(50) for n in ("order", "weights", "noise/0", "noise/1")}) == 200
    assert stream(0, "weights") == 7829447926252318043


@pytest.mark.parametrize("name", models.names())
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name):
    changes = {"steps": 3}
    a, b, c = (go(trainer(name, seed, **changes), 3) for seed in (5, 5, 6))
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("name", models.names())
def test_stopped_and_continued_is_uninterrupted_bit_for_bit(name, tmp_path):
    from disbench.benchmark.trainer import State
    from disbench.models.checkpoint import load_tensors, save_tensors

    whole = go(trainer(name, 3), 6)

    saved = []
    first = trainer(name, 3)
    with pytest.raises(StoppedError):
        go(first, 6, save=lambda s: save_tensors(vars(s), tmp_path / "s.pt"), stop=lambda: first.step == 2)
    saved = load_tensors(tmp_path / "s.pt")
    second = trainer(name, 3)
    second.restore(State(**saved))
    assert second.step == 2
    assert same(go(second, 6), whole)


def test_forgetting_the_optimizer_would_be_seen():
    """The check above can fail: continuing with fresh optimisers gives other weights."""
    whole = go(trainer(seed=3), 6)
    first = trainer(seed=3)
    go(first, 2)
    second = trainer(seed=3)
    second.method.load_state_dict(first.method.state_dict())
    second.step = 2
    assert not same(go(second, 6), whole)


@pytest.mark.parametrize("name", models.names())
def test_monitoring_leaves_no_trace(name):
    silent = trainer(name, 1)
    silent.method.train()
    watched = trainer(name, 1)
    watched.method.train()
    for _ in range(3):
        silent.advance()
        watched.monitor()
        watched.advance()
    assert same(silent.method.state_dict(), watched.method.state_dict())


def test_every_logged_line_has_the_terms_by_loss_and_name():
    lines = []
    go(trainer(), 4, log=lines.append)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert set(lines[0]["terms"]) == {"loss.reconstruction", "loss.kl"}
    assert len(lines[0]["monitor"]["kl_per_latent"]) == 10


def test_a_term_that_is_not_finite_stops_training_and_is_named():
    made = trainer()
    with torch.no_grad():
        made.method.encoder[-1][-1].bias[-1] = 200.0  # one log-variance of 200: exp overflows float32
    with pytest.raises(DivergedError) as caught:
        go(made, 4)
    assert (caught.value.step, caught.value.term) in {(1, "loss.kl"), (1, "loss.reconstruction")}


def test_weights_that_are_not_finite_at_the_end_are_no_result():
    made = trainer()
    with pytest.raises(DivergedError, match="weight"):
        go(made, 1, progress=lambda step: made.method.encoder[0].weight.data.fill_(float("nan")))


def test_only_the_named_modules_learn_from_an_update():
    """D's step must leave G as it is, and G's step D: each sees the other's current weights."""
    made = trainer("gan")
    made.method.train()
    before = {k: v.clone() for k, v in made.method.state_dict().items()}
    made.updates = [u for u in made.updates if u[0].loss == "discriminator_loss"]
    made.advance()
    learned = {k.split(".")[0] for k, p in made.method.named_parameters() if not torch.equal(p, before[k])}
    assert learned == {"d"}


def test_the_second_update_sees_the_first_ones_weights():
    """Stale weights (both gradients taken before either step) would give the generator another loss."""
    made = trainer("gan")
    made.method.train()
    inputs = made.inputs(0)
    stale = made.method.generator_loss(*inputs)["fool"].item()
    fresh = trainer("gan")
    fresh.method.train()
    losses = fresh.advance()
    assert losses["generator_loss"]["fool"].item() != pytest.approx(stale, rel=1e-6)
