import gc
import random
import sys
import threading
from hashlib import sha256

import numpy as np
import pytest
import torch

from disbench import models
from disbench.benchmark.datasets import cache
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset, FileStorage
from disbench.benchmark.scoring.trained import Trained
from disbench.benchmark.training import trainer as trainer_module
from disbench.benchmark.training.gpu import PLAIN, Recording, Resident, Tuning, resident
from disbench.benchmark.training.seeds import StoppedError, stream
from disbench.benchmark.training.strategies import Branches, Fused, Single
from disbench.benchmark.training.trainer import Order, State, held_out_rows
from disbench.errors import UsageError
from disbench.models.checkpoint import load_tensors, save_tensors

CPU = torch.device("cpu")


def toy(n=50, side=16):
    pixels = np.random.default_rng(0).integers(0, 2, (n, 1, side, side), dtype=np.uint8) * 255
    return Dataset("toy", sha256(pixels).hexdigest(), ArrayStorage(pixels), labels=np.arange(n) % 10)


def trainer(name="betavae", *seeds, data=None, tuning=PLAIN, device=CPU, strategy=None, **changes):
    """One seed alone, or several fused."""
    data, seeds = data or toy(), seeds or (0,)
    config = models.configure(name, "mini", {"batch": 4, **changes})
    info = models.DataInfo(data.shape, len(data), tuple(data.class_prior))
    methods = [models.build(name, config, info, stream(seed, "weights")) for seed in seeds]
    strategy = strategy or (Single if len(seeds) == 1 else Fused)
    return strategy(methods, data, seeds, device, tuning)


HOOKS = {
    "log": lambda i, line: None,
    "progress": lambda step: None,
    "due": lambda: False,
    "save": lambda states: None,
    "stop": lambda: False,
}


def go(made, steps, **hooks):
    """The weights of each seed after so many steps."""
    assert not made.run(steps, **{**HOOKS, **hooks})
    return [made.state(i).weights for i in range(len(made.seeds))]


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


def test_seeds_that_train_together_draw_one_shuffle_each_per_epoch(monkeypatch):
    """32 seeds over two epochs, each step read twice as by a monitor: 64 permutations, the rows as ever."""
    drawn = []
    permute = trainer_module.shuffle
    monkeypatch.setattr(trainer_module, "shuffle", lambda *of: drawn.append(of) or permute(*of))
    orders = [Order(n=20, batch=4, seed=seed) for seed in range(32)]
    steps = [[[order.rows(step).tolist() for order in orders] for _ in range(2)][1] for step in range(10)]
    assert len(drawn) == len(set(drawn)) == 64
    for seed in (0, 31):
        expected = np.concatenate([np.random.default_rng([seed, epoch]).permutation(20) for epoch in (0, 1)])
        assert np.concatenate([rows[seed] for rows in steps]).tolist() == expected.tolist()


def test_streams_differ_by_name_and_seed_and_stay_what_they_are():
    assert len({stream(s, n) for s in range(50) for n in ("order", "weights", "noise/0", "noise/1")}) == 200
    assert stream(0, "weights") == 4283426181684004966


def close(a, b, rtol=1e-7, atol=1e-8):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


class Doubled(Dataset):
    def images(self, rows):
        return super().images(rows).double()


@pytest.fixture
def doubles():
    """Training in float64, where two ways to the same number differ by nothing that Adam could magnify."""
    torch.set_default_dtype(torch.float64)
    plain = toy()
    resident.cache_clear()
    yield Doubled(plain.name, plain.sha256, plain.storage, labels=plain.labels)
    torch.set_default_dtype(torch.float32)
    resident.cache_clear()


@pytest.mark.parametrize("name", models.names())
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name):
    a, b, c = (go(trainer(name, seed), 3)[0] for seed in (5, 5, 6))
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("name", models.names())
def test_stopped_and_continued_is_uninterrupted_bit_for_bit(name, tmp_path):
    (whole,) = go(trainer(name, 3), 6)
    first = trainer(name, 3)
    save = {
        "save": lambda states: save_tensors(vars(states[0]), tmp_path / "s.pt"),
        "stop": lambda: first.step == 2,
    }
    with pytest.raises(StoppedError):
        first.run(6, **{**HOOKS, **save})
    second = trainer(name, 3)
    second.restore([State(**load_tensors(tmp_path / "s.pt"))])
    assert second.step == 2
    assert same(go(second, 6)[0], whole)


def test_forgetting_the_optimizer_would_be_seen():
    """The check above can fail: continuing with fresh optimisers gives other weights."""
    (whole,) = go(trainer("betavae", 3), 6)
    first = trainer("betavae", 3)
    go(first, 2)
    second = trainer("betavae", 3)
    second.method.load_state_dict(first.method.state_dict())
    second.step = 2
    assert not same(go(second, 6)[0], whole)


@pytest.mark.parametrize("name", models.names())
def test_monitoring_leaves_no_trace(name):
    silent, watched = trainer(name, 1), trainer(name, 1)
    for _ in range(3):
        silent.advance()
        watched.monitor()
        watched.advance()
    assert same(silent.state(0).weights, watched.state(0).weights)


@pytest.mark.parametrize("name", models.names())
def test_fused_seeds_are_the_seeds_alone(name, doubles):
    """Losses, monitored values, weights and buffers; and no seed sees its neighbours."""
    fused = trainer(name, 4, 9, 2, data=doubles)
    alone = [trainer(name, seed, data=doubles) for seed in (4, 9, 2)]
    pair = trainer(name, 7, 9, data=doubles)
    for _ in range(5):
        names, values = fused.advance()
        for i, one in enumerate(alone):
            found, value = one.advance()
            assert found == names
            torch.testing.assert_close(values[:, i], value[:, 0], rtol=1e-7, atol=1e-9)
        pair.advance()
    for i, one in enumerate(alone):
        close(fused.state(i).weights, one.state(0).weights)
    close(fused.state(1).weights, pair.state(1).weights)
    assert not same(fused.state(1).weights, fused.state(2).weights)
    for watched, one in zip(fused.monitor(), alone, strict=True):
        (expected,) = one.monitor()
        assert watched.keys() == expected.keys()
        for key, value in expected.items():
            assert watched[key] == pytest.approx(value, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", models.names())
def test_fused_seeds_are_the_seeds_alone_over_thirty_steps(name, doubles):
    """With batches of 16: batch norm over 4 images is so unsteady that rounding grows to anything."""
    fused = go(trainer(name, 4, 9, data=doubles, batch=16), 30)
    close(fused[1], go(trainer(name, 9, data=doubles, batch=16), 30)[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", models.names())
def test_seeds_side_by_side_are_the_seeds_alone_bit_for_bit(name):
    together = trainer(name, 4, 9, strategy=Branches)
    alone = [trainer(name, seed) for seed in (4, 9)]
    for _ in range(3):
        (names, found), *each = (one.advance() for one in (together, *alone))
        assert names == each[0][0]
        assert torch.equal(found, torch.cat([values for _, values in each], dim=1))
    assert together.monitor() == [line for one in alone for line in one.monitor()]
    again = trainer(name, 4, 9, strategy=Branches)
    again.restore([one.state(0) for one in alone])
    for made in (together, again):
        weights = go(made, 5)
        assert all(same(weights[i], go(one, 5)[0]) for i, one in enumerate(alone))


@pytest.mark.parametrize("name", ["betavae", "ibgan"])
def test_a_state_goes_on_in_either_strategy(name, doubles):
    whole = [go(trainer(name, seed, data=doubles), 4)[0] for seed in (4, 9)]
    fused = trainer(name, 4, 9, data=doubles)
    go(fused, 2)
    for i, seed in enumerate((4, 9)):
        alone = trainer(name, seed, data=doubles)
        alone.restore([fused.state(i)])
        close(go(alone, 4)[0], whole[i])
    starts = [trainer(name, seed, data=doubles) for seed in (4, 9)]
    for start in starts:
        go(start, 2)
    again = trainer(name, 4, 9, data=doubles)
    again.restore([start.state(0) for start in starts])
    for i, weights in enumerate(go(again, 4)):
        close(weights, whole[i])


def test_every_logged_line_has_the_terms_by_loss_and_name():
    lines = []
    go(trainer(), 4, log=lambda i, line: lines.append(line))
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert set(lines[0]["terms"]) == {"loss.reconstruction", "loss.kl"}
    assert len(lines[0]["monitor"]["kl_per_latent"]) == 10


def explode(method):
    with torch.no_grad():
        method.encoder[-1][-1].bias[-1] = 200.0  # one log-variance of 200: its exponential overflows float32


def test_a_term_that_is_not_finite_stops_training_and_is_named():
    made = trainer()
    explode(made.method)
    failed = made.run(4, **HOOKS)
    assert (failed[0].step, failed[0].term) in {(1, "loss.kl"), (1, "loss.reconstruction")}
    assert made.step == 1


def test_a_fused_seed_that_diverges_leaves_its_neighbours_alone():
    data, seeds = toy(), (4, 9)
    config = models.configure("betavae", "mini", {"batch": 4})
    info = models.DataInfo(data.shape, len(data))
    methods = [models.build("betavae", config, info, stream(seed, "weights")) for seed in seeds]
    explode(methods[0])
    fused = Fused(methods, data, seeds, CPU)
    lines = []
    failed = fused.run(3, **{**HOOKS, "log": lambda i, line: lines.append(i)})
    assert set(failed) == {0}
    assert failed[0].step == 1
    assert set(lines) == {1}
    close(fused.state(1).weights, go(trainer("betavae", 9), 3)[0], rtol=1e-3, atol=1e-4)


def test_weights_that_are_not_finite_at_the_end_are_no_result():
    made = trainer()
    spoil = {"progress": lambda step: made.method.encoder[0].weight.data.fill_(float("nan"))}
    assert made.run(1, **{**HOOKS, **spoil})[0].term.startswith("weight")


def test_only_the_named_modules_learn_from_an_update():
    made = trainer("gan")
    before = {k: v.clone() for k, v in made.method.state_dict().items()}
    made.updates = [u for u in made.updates if u[0].loss == "discriminator_loss"]
    made.advance()
    learned = {k.split(".")[0] for k, p in made.method.named_parameters() if not torch.equal(p, before[k])}
    assert learned == {"d"}


def test_the_second_update_sees_the_first_ones_weights():
    """Stale weights (both gradients taken before either step) would give the generator another loss."""
    made = trainer("gan")
    stale = made.method.generator_loss(*made.arguments(0))["fool"].item()
    names, values = trainer("gan").advance()
    assert values[names.index("generator_loss.fool")].item() != pytest.approx(stale, rel=1e-6)


def by_hand(steps, data):
    """InfoGAN with plain torch: per training step one step of D's Adam and two of G's on the same inputs."""
    made = trainer("infogan", data=data, g_steps=2)
    method = made.method
    d, g = (
        torch.optim.Adam(
            [p for m in modules for p in getattr(method, m).parameters()], lr, betas=(0.5, 0.999)
        )
        for modules, lr in ((("trunk", "d", "q"), method.config.lr_d), (("g",), method.config.lr_g))
    )
    method.requires_grad_()
    for step in range(steps):
        arguments = made.arguments(step)
        for loss, optimizer in (("discriminator_loss", d), ("generator_loss", g), ("generator_loss", g)):
            optimizer.zero_grad()
            method.zero_grad()
            sum(getattr(method, loss)(*arguments).values()).backward()
            optimizer.step()
    return method.state_dict()


def test_an_update_that_is_taken_twice_goes_on_with_one_optimiser(doubles):
    """Two optimisers, or a gradient taken once, would lead elsewhere."""
    twice = go(trainer("infogan", data=doubles, g_steps=2), 3)[0]
    close(twice, by_hand(3, doubles))
    once = go(trainer("infogan", data=doubles, g_steps=1), 3)[0]
    assert not torch.allclose(twice["g.0.weight"], once["g.0.weight"], atol=1e-4)


LATER = {"begin": 2, "g_steps": 1}


def journal(made, steps):
    lines = []
    go(made, steps, log=lambda i, line: lines.append(line["terms"]))
    return lines


def test_an_update_that_begins_later_leaves_its_modules_and_the_journal_alone_until_then():
    start, lines = trainer("infogan_cr", **LATER).state(0).weights, journal(trainer("infogan_cr", **LATER), 4)
    contrasts = {"contrast_loss.contrast", "generator_loss.contrast"}
    assert [contrasts <= set(line) for line in lines] == [False, False, True, True]
    assert not any(contrasts & set(line) for line in lines[:2])
    before, after = (go(trainer("infogan_cr", **LATER), steps)[0] for steps in (2, 3))
    of_h = [name for name in start if name.startswith("h.")]
    assert all(torch.equal(start[name], before[name]) for name in of_h)
    # Adam's first step is its learning rate: it has not counted the steps before
    moved = (after["h.1.weight"] - before["h.1.weight"]).abs()
    torch.testing.assert_close(moved.max().item(), 2e-3, rtol=1e-2, atol=0)


def test_until_then_it_is_infogan():
    """But for the regulariser's own random numbers, which are drawn after InfoGAN's."""
    plain, later = go(trainer("infogan", g_steps=1), 2)[0], go(trainer("infogan_cr", **LATER), 2)[0]
    assert all(torch.equal(plain[name], later[name]) for name in plain)


def test_a_run_goes_on_across_the_step_at_which_an_update_begins():
    whole = go(trainer("infogan_cr", **LATER), 4)[0]
    for stopped in (1, 2, 3):
        first = trainer("infogan_cr", **LATER)
        go(first, stopped)
        second = trainer("infogan_cr", **LATER)
        second.restore([first.state(0)])
        assert same(go(second, 4)[0], whole), stopped


def test_fused_seeds_begin_an_update_like_seeds_alone(doubles):
    together = go(trainer("infogan_cr", 3, 8, data=doubles, **LATER), 4)
    for seed, weights in zip((3, 8), together, strict=True):
        close(weights, go(trainer("infogan_cr", seed, data=doubles, **LATER), 4)[0])
    beside = go(trainer("infogan_cr", 3, 8, data=doubles, strategy=Branches, **LATER), 4)
    for weights, expected in zip(beside, together, strict=True):
        close(weights, expected)


def test_images_that_are_held_out_are_read_by_no_step():
    held_out = held_out_rows(23, 5, seed=4)
    order = Order(n=23, batch=6, seed=1, held_out=held_out)
    rows = np.concatenate([order.rows(step) for step in range(9)])
    assert len(set(held_out)) == 5
    assert set(rows) == set(range(23)) - set(held_out)
    # three batches of an epoch show each of the other 18 once
    assert len(set(rows[:18])) == 18
    assert set(held_out) != set(held_out_rows(23, 5, seed=5))


@pytest.mark.parametrize("strategy", [None, Branches])
def test_unseen_images_are_rated_beside_the_others_and_change_nothing(strategy):
    seeds, settings = (3, 8), {"held_out": 6, "strategy": strategy}
    together = trainer("elastic_infogan", *seeds, **settings)
    without = trainer("elastic_infogan", *seeds, strategy=strategy)
    assert "d_unseen" not in without.monitor()[0]
    shown = together.monitor()
    for i, seed in enumerate(seeds):
        alone = trainer("elastic_infogan", seed, held_out=6)
        images = alone.data.images(held_out_rows(len(alone.data), 6, seed))
        rating = alone.method.monitor_unseen(images, {}, torch.tensor(0.0))["d_unseen"].item()
        assert alone.monitor()[0]["d_unseen"] == pytest.approx(rating, rel=1e-5)
        assert shown[i]["d_unseen"] == pytest.approx(rating, rel=1e-4)


class Unrecorded(Recording):
    """Everything about a recorded step but the graph: the step is computed again instead of replayed."""

    def warm_up(self, step):
        for _ in range(3):
            step()

    def record(self, step):
        def replay():
            self.names, self.values = step()

        return replay, ([], torch.empty(0))


@pytest.mark.parametrize("strategy", [Single, Branches])
def test_no_gradient_leads_back_to_a_weight_when_recording_begins(strategy, monkeypatch):
    """It would bind the weight to the stream that it was made on, and the recording would fail."""

    class Alone(Unrecorded):
        def record(self, step):
            assert not [o for o in gc.get_objects() if type(o) is torch.Tensor and o.grad_fn is not None]
            return super().record(step)

    monkeypatch.setattr("disbench.benchmark.training.trainer.Recording", Alone)
    trainer("betavae", 3, strategy=strategy, tuning=Tuning(graph=True)).advance()


@pytest.mark.parametrize("name", ["betavae", "gan", "infogan_cr"])
@pytest.mark.parametrize("seeds", [(3,), (3, 8)])
@pytest.mark.parametrize("changes", [{}, {"optimizer": "other"}])
@pytest.mark.parametrize("strategy", [None, Branches])
def test_a_step_that_is_recorded_is_the_step(name, seeds, changes, strategy, monkeypatch):
    """The warm-up leaves no trace, later inputs arrive, and a restored state is recorded anew."""
    monkeypatch.setattr("disbench.benchmark.training.trainer.Recording", Unrecorded)
    if changes:
        changes = {"optimizer": "adagrad" if name == "betavae" else "rmsprop"}
    if name == "infogan_cr":
        # another recording from the step on at which the regulariser begins
        changes = {**changes, "begin": 1}
    eager = trainer(name, *seeds, strategy=strategy, **changes)
    recorded = trainer(name, *seeds, strategy=strategy, tuning=Tuning(graph=True), **changes)
    for _ in range(2):
        (names, expected), (found_names, found) = eager.advance(), recorded.advance()
        assert found_names == names
        assert torch.equal(found, expected)
    again = trainer(name, *seeds, strategy=strategy, tuning=Tuning(graph=True), **changes)
    again.advance()
    again.restore([eager.state(i) for i in range(len(seeds))])
    assert again.recording is None  # it would write to the optimisers' former tensors
    for made in (eager, recorded, again):
        made.advance()
    for i in range(len(seeds)):
        assert same(recorded.state(i).weights, eager.state(i).weights)
        assert same(again.state(i).weights, eager.state(i).weights)


@pytest.mark.parametrize("shape", [(50, 1, 8, 12), (50, 3, 8, 8)])
@pytest.mark.parametrize("levels", [2, 256])
def test_a_resident_data_set_gives_the_same_images(shape, levels):
    pixels = np.random.default_rng(0).integers(0, levels, shape, dtype=np.uint8) * (255 // (levels - 1))
    data = Dataset("toy", sha256(pixels).hexdigest(), ArrayStorage(pixels))
    kept = Resident(data, CPU)
    assert kept.packed == (levels == 2)
    assert kept.stored.shape[-1] == (-(-shape[3] // 8) if levels == 2 else shape[3])
    rows = np.array([3, 49, 0, 3])
    assert torch.equal(kept.images(rows), data.images(rows))


def test_a_resident_file_of_packed_bits_is_taken_as_it_lies(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2, (20, 1, 8, 16), dtype=np.uint8) * 255
    content = cache.Content((20, 8, 2), [np.packbits(pixels[:, 0], axis=-1)], packed=True)
    cache.write(tmp_path / "bits.h5", "bits", content, "mapped")
    data = Dataset("bits", sha256(pixels).hexdigest(), FileStorage(cache.inspect(tmp_path / "bits.h5")))
    rows = np.arange(20)[::-1].copy()
    assert torch.equal(Resident(data, CPU).images(rows), data.images(rows))


@pytest.mark.parametrize("name", ["betavae", "ibgan"])
def test_training_from_a_resident_data_set_is_the_same_bit_for_bit(name):
    (host,), (kept,) = go(trainer(name, 3), 6), go(trainer(name, 3, tuning=Tuning(resident=True)), 6)
    assert same(host, kept)


@pytest.fixture
def layers_of_a_gpu(monkeypatch):
    monkeypatch.setattr("disbench.models.layers.by_onednn", lambda x: False)


@pytest.mark.usefixtures("layers_of_a_gpu")
@pytest.mark.parametrize("name", ["betavae", "gan", "infogan"])
def test_fused_seeds_are_the_seeds_alone_with_the_layers_of_a_gpu(name, doubles):
    fused = go(trainer(name, 4, 9, data=doubles, batch=16), 5)
    close(fused[1], go(trainer(name, 9, data=doubles, batch=16), 5)[0])


@pytest.mark.usefixtures("layers_of_a_gpu")
@pytest.mark.parametrize("name", models.names())
def test_seeds_train_together_in_bf16(name):
    """Mapped over seeds, torch's batch norm takes no weights of another precision than its input."""
    for weights in go(trainer(name, 4, 9, tuning=Tuning(precision="bf16")), 2):
        assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.fixture
def deterministic(monkeypatch):
    """No atomic additions, whose order differs from run to run."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    yield
    torch.use_deterministic_algorithms(False)


gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CUDA = torch.device("cuda")


@pytest.mark.gpu
@gpu
@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("strategy", [Fused, Branches])
@pytest.mark.parametrize("tuning", [PLAIN, Tuning(graph=True), Tuning(resident=True)])
def test_on_a_gpu_seeds_together_are_the_seeds_alone(name, strategy, tuning, doubles):
    """Eager, one by one and from the host, against each way to compute them together.

    In float64: in float32 Adam and a batch norm after a ReLU magnify rounding without bound.
    """
    made = trainer(name, 4, 9, device=CUDA, tuning=tuning, batch=16, data=doubles, strategy=strategy)
    together = go(made, 5)
    for i, seed in enumerate((4, 9)):
        alone = go(trainer(name, seed, device=CUDA, batch=16, data=doubles), 5)[0]
        close(together[i], alone, rtol=1e-6, atol=1e-8)


@pytest.mark.gpu
@gpu
@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_on_a_gpu_one_seed_is_recorded_in_each_precision(name, precision):
    tuning = Tuning(resident=True, graph=True, precision=precision)
    for strategy, seeds in ((Single, (4,)), (Branches, (4, 9)), (Fused, (4, 9))):
        made = trainer(name, *seeds, device=CUDA, tuning=tuning, batch=16, strategy=strategy)
        for weights in go(made, 3):
            assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.mark.gpu
@gpu
def test_on_a_gpu_batches_are_those_of_the_host():
    data, rows = toy(), np.array([3, 49, 0, 3])
    assert torch.equal(Resident(data, CUDA).images(rows).cpu(), data.images(rows))


@pytest.mark.gpu
@gpu
@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("name", ["betavae", "ibgan"])
def test_on_a_gpu_a_run_goes_on(name, doubles):
    def made():
        tuning = Tuning(resident=True, graph=True)
        return trainer(name, 4, 9, device=CUDA, tuning=tuning, batch=16, data=doubles)

    whole, first, second = go(made(), 6), made(), made()
    go(first, 3)
    second.restore([first.state(i) for i in (0, 1)])
    for weights, expected in zip(go(second, 6), whole, strict=True):
        close(weights, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("strategy", [Fused, Branches])
def test_on_a_gpu_deterministic_steps_are_the_same_bits(name, strategy, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    tuning = Tuning(resident=True, graph=True, deterministic=True)
    one, other = (go(trainer(name, 4, 9, device=CUDA, tuning=tuning, strategy=strategy), 4) for _ in range(2))
    torch.use_deterministic_algorithms(False)
    assert all(same(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.gpu
@gpu
def test_on_a_gpu_codes_come_from_resident_images():
    data, rows = toy(), np.arange(40)
    method = models.build("betavae", models.configure("betavae", "mini"), data.info, 0).to(CUDA)
    host = Trained(method, data, CUDA).codes(rows)
    kept = Trained(method, data, CUDA, images=Resident(data, CUDA).images).codes(rows)
    np.testing.assert_allclose(kept, host, rtol=1e-5, atol=1e-6)


def of_numpy():
    return np.random.normal()  # noqa: NPY002  what is refused


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(1),
        of_numpy,
        random.random,
        lambda: random.uniform(0, 1),
        lambda: random.shuffle([1, 2]),
        lambda: random.gauss(0, 1),
    ],
)
@pytest.mark.parametrize("where", ["penalty", "noise"])
def test_random_numbers_that_are_no_seed_s_are_refused(monkeypatch, draw, where):
    """They would make equal seeds different models, without a word."""
    # `gauss` has a second number ready, which it need not draw
    random.seed(0)
    random.gauss(0, 1)
    kind = models.get("betavae")
    usual = getattr(kind, where)
    monkeypatch.setattr(kind, where, lambda *given: (draw(), usual(*given))[1])
    with pytest.raises(UsageError, match=r"^BetaVAE draws random numbers of the process in its step"):
        trainer().advance()


def test_those_that_another_thread_draws_meanwhile_are_none_of_a_step(monkeypatch):
    """As a Dask worker does."""
    kind = models.get("betavae")
    usual = kind.penalty

    def penalty(*given):
        thread = threading.Thread(target=random.random)
        thread.start()
        thread.join()
        return usual(*given)

    monkeypatch.setattr(kind, "penalty", penalty)
    before = random.getstate()
    trainer().advance()
    assert random.getstate() != before
    assert sys.getprofile() is None


def test_so_are_those_of_a_loss_that_begins_later(monkeypatch):
    kind = models.get("infogan_cr")
    usual = kind.contrast_loss
    monkeypatch.setattr(kind, "contrast_loss", lambda *given: (torch.rand(1), usual(*given))[1])
    made = trainer("infogan_cr", **LATER)
    made.advance()
    made.advance()
    with pytest.raises(UsageError, match=r"^InfoGANCR draws random numbers"):
        made.advance()


@pytest.mark.parametrize(
    ("penalty", "said"),
    [
        (lambda *given: {"kl": torch.ones(4)}, r"the term 'kl' of loss has the shape \(4,\)"),
        (lambda *given: {"kl": 1.0}, "the term 'kl' of loss is a float"),
        (lambda *given: torch.ones(()), "the penalty of BetaVAE must be a dict"),
        (lambda *given: {"reconstruction": torch.ones(())}, "that term is there already"),
    ],
)
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_terms_that_are_none_are_named(monkeypatch, penalty, said, seeds):
    """The last took the place of the reconstruction."""
    monkeypatch.setattr(models.get("betavae"), "penalty", penalty)
    with pytest.raises(UsageError, match=said):
        trainer("betavae", *seeds).advance()
