"""The frozen classifier: its form, its scaling, what is kept of it, and that it learns."""

import pickle
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from disbench.benchmark.datasets import derived, load, manifest
from disbench.benchmark.scoring import classifier
from disbench.errors import UsageError


@pytest.fixture
def stripes(tmp_path):
    """Three classes that are easy to tell: 16x16, bright at the top, in the middle or at the bottom."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    images = rng.integers(0, 80, (300, 16, 16), dtype=np.uint8)
    for image, k in zip(images, labels, strict=True):
        image[5 * k : 5 * k + 5] += 120
    np.savez(tmp_path / "stripes.npz", images=images, labels=labels)
    return str(tmp_path / "stripes.npz")


def test_its_size_is_that_of_the_published_one():
    """By hand, 28x28: 20 (25 + 1) + 50 (20 * 25 + 1) + 500 (50 * 16 + 1) + 10 (500 + 1) = 431,080 weights."""
    net = classifier.LeNet(1, 28, 10)
    assert sum(p.numel() for p in net.parameters()) == 431_080
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert classifier.LeNet(3, 32, 4)(torch.zeros(1, 3, 32, 32)).shape == (1, 4)
    with pytest.raises(UsageError, match="too small"):
        classifier.LeNet(1, 8, 10)


def test_images_are_scaled_to_minus_one_to_one():
    """A grey of 0.5 becomes 0, so the first layer answers with its bias alone; white becomes 1."""
    net = classifier.LeNet(1, 16, 3)
    seen = []
    net.conv1.register_forward_hook(lambda _module, given, _answer: seen.append(given[0]))
    net(torch.full((1, 1, 16, 16), 0.5))
    net(torch.ones(1, 1, 16, 16))
    net(torch.zeros(1, 1, 16, 16))
    assert [float(x.unique()) for x in seen] == [0.0, 1.0, -1.0]


def test_it_starts_from_its_generator_alone():
    nets = [classifier.LeNet(1, 16, 3) for _ in range(3)]
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        net.initialise(torch.Generator().manual_seed(seed))
    same, again, other = (net.fc1.weight for net in nets)
    assert same.equal(again)
    assert not same.equal(other)
    assert same.abs().max() <= 1 / same.shape[1] ** 0.5


def test_it_learns_is_kept_and_comes_back(stripes, tmp_path):
    with pytest.raises(UsageError, match="has no trained classifier") as refused:
        classifier.load_classifier(stripes, data_dir=tmp_path)
    # as it can be typed, into the folder where it was looked for
    (command,) = re.findall("`(.+?)`", str(refused.value))
    words = ["disbench", "data", "classifier", stripes, "--size", "16", "--data-dir", str(tmp_path)]
    assert shlex.split(command) == words
    said = []
    kept = classifier.train_classifier(stripes, epochs=12, data_dir=tmp_path, say=said.append)
    assert len(said) == 12
    assert kept.accuracy > 0.95
    back = classifier.load_classifier(stripes, data_dir=tmp_path)
    assert (back.accuracy, back.sha256, back.classes) == (kept.accuracy, kept.sha256, ("0", "1", "2"))
    dataset = load(stripes, data_dir=tmp_path)
    named = back(dataset.images(np.arange(300)))
    assert (named.numpy() == dataset.labels).mean() > 0.95
    # an imbalanced set is judged by the classifier of the whole one
    unequal = classifier.load_classifier(f"{stripes}:imbalanced-3", data_dir=tmp_path)
    assert unequal.sha256 == kept.sha256


def test_the_same_seed_gives_the_same_weights(stripes, tmp_path):
    digests = [
        classifier.train_classifier(stripes, epochs=1, seed=seed, data_dir=tmp_path, say=list).sha256
        for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_damaged_file_is_refused(stripes, tmp_path):
    classifier.train_classifier(stripes, epochs=1, data_dir=tmp_path, say=list)
    (path,) = (tmp_path / "classifiers").iterdir()
    kept = torch.load(path, weights_only=True)
    kept["weights"]["fc2.bias"][0] += 1
    torch.save(kept, path)
    with pytest.raises(UsageError, match="hash"):
        classifier.load_classifier(stripes, data_dir=tmp_path)
    kept["weights"]["fc2.bias"][0] -= 1
    torch.save({**kept, "data_sha256": "0" * 64}, path)
    with pytest.raises(UsageError, match="of other images"):
        classifier.load_classifier(stripes, data_dir=tmp_path)
    for content in (b"text", b"", b"\x80\x04]", pickle.dumps([print])):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"cannot be read \(.+\); delete it and run") as refused:
            classifier.load_classifier(stripes, data_dir=tmp_path)
        # what torch advises would run what is in the file
        assert "weights_only" not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_too_low_an_accuracy_is_not_kept(stripes, tmp_path, monkeypatch):
    wanted = manifest.ClassifierFacts(epochs=1, accuracy=0.999)
    monkeypatch.setattr(classifier, "_facts", lambda _: wanted)
    with pytest.raises(UsageError, match=r"below 0\.999, so it was not saved"):
        classifier.train_classifier(stripes, data_dir=tmp_path, say=list)
    assert not list(tmp_path.glob("classifiers/*"))


def test_no_image_is_both_learnt_and_tested(stripes, tmp_path):
    train, test = classifier.parts(stripes, None, tmp_path)
    assert (len(train), len(test)) == (255, 45)  # every seventh of 100: 15 a class
    assert np.bincount(test.labels).tolist() == [15, 15, 15]
    assert not set(train.storage.rows) & set(test.storage.rows)
    with pytest.raises(UsageError, match="no labels"):
        classifier.parts("dsprites", 32, None)


def test_some_classes_have_a_classifier_of_their_own(stripes, tmp_path):
    train, _ = classifier.parts(f"{stripes}:classes-0,2:imbalanced-1", None, tmp_path)
    assert np.bincount(train.labels).tolist() == [85, 85]


@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").exists(),
    reason="Debian's dataset-fashion-mnist is not installed",
)
def test_on_fashion_mnist():
    whole = load("fashion_mnist")
    assert np.bincount(whole.labels[:60_000]).tolist() == [6000] * 10
    assert np.bincount(whole.labels[60_000:]).tolist() == [1000] * 10
    train, test = classifier.parts("fashion_mnist:imbalanced-3", None, None)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert np.bincount(load("fashion_mnist:imbalanced-3").labels).max() == 7000
    net = classifier.LeNet(1, 28, 10)
    net.initialise(torch.Generator().manual_seed(0))
    optimiser = classifier.sgd(net)
    first = derived.select(train, "first", np.arange(3000))
    for _ in range(2):
        classifier.train_epoch(net, optimiser, first, np.random.default_rng(0))
    assert classifier.measure(net, derived.select(test, "first", np.arange(1000))) > 0.5


def test_one_step_is_one_step_of_momentum_sgd(stripes, tmp_path):
    """After one batch the weights have moved by -0.01 times the gradient of the mean cross-entropy."""
    dataset = derived.select(load(stripes, data_dir=tmp_path), "batch", np.arange(60))
    net = classifier.LeNet(1, 16, 3)
    net.initialise(torch.Generator().manual_seed(0))
    before = net.fc2.weight.detach().clone()
    loss = F.cross_entropy(net(dataset.images(np.arange(60))), torch.from_numpy(dataset.labels))
    (gradient,) = torch.autograd.grad(loss, net.fc2.weight)
    classifier.train_epoch(net, classifier.sgd(net), dataset, np.random.default_rng(0))
    torch.testing.assert_close(net.fc2.weight.detach(), before - 0.01 * gradient)
