"""Generators whose pictures and codes are known: what is drawn, read, and said of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from disbench import datasets, models
from disbench.benchmark import api
from disbench.benchmark.datasets import dsprites
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset
from disbench.benchmark.datasets.derived import Styled
from disbench.benchmark.protocols import choose_metrics
from disbench.benchmark.scoring import apart, decoders, encoders, generators, judged, oracles, sources
from disbench.benchmark.scoring.classifier import Classifier, LeNet
from disbench.benchmark.scoring.encoders import Network
from disbench.errors import UsageError, argument
from disbench.models import DataInfo

from .drawing import CPU, GRID, renderer

FEW = choose_metrics("mig,factor_vae,z_max_var")


def test_a_perfect_generator(sprites):
    found = judged.on_grid(renderer(sprites), sprites, FEW, n=600)
    assert found.quality.error == {"median": 0, "mean": 0, "90 %": 0}
    assert found.quality.shares["fidelity"] == found.quality.shares["on"] == 1.0
    mig, factor_vae, z_max_var = found.entries
    assert mig.score > 0.7
    assert factor_vae.score == 1.0
    assert "complete factor grid" in z_max_var.reason
    assert found.effects == pytest.approx(np.eye(4), abs=0.1)
    # the encoder is the oracle, so it reads back what was drawn, but for the width of a value
    assert (found.cycle > 0.6).all()
    # a picture is read as the nearest of four fifths of the images, mostly a step away
    for agreement in (found.agreement, found.agreement_real):
        assert agreement.keys() == set(GRID.names)
        assert min(agreement.values()) > 0.8
    assert found.codes == ("z0", "z1", "z2", "z3")


def test_a_turned_generator_draws_as_well_and_is_entangled(sprites):
    hadamard = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    found = judged.on_grid(renderer(sprites, hadamard, encodes=False), sprites, FEW, n=600)
    assert found.quality.shares["fidelity"] == 1.0
    assert found.entries[0].score < 0.2
    assert found.entries[1].score < 0.8
    assert found.effects.min() > 0.05
    assert found.agreement == {}
    assert len(found.cycle) == 0


def test_a_generator_of_one_shape_covers_less(sprites):
    found = judged.on_grid(renderer(sprites, shapes=1), sprites, FEW, n=400)
    assert found.quality.coverage["shape"] == pytest.approx(1 / 3)
    assert found.quality.shares["fidelity"] == 1.0
    # a factor that never changes is dropped, and nothing moves it
    assert found.entries[0].dropped_factors == [0]
    assert (found.effects[:, 0] == 0).all()


def test_a_generator_of_empty_pictures_has_a_quality_and_reasons_for_the_rest(sprites):
    made = renderer(sprites)
    black = replace(made, generate=lambda some: 0 * made.generate(some))
    found = judged.on_grid(black, sprites, FEW, n=100)
    assert (found.quality.shares["empty"], found.quality.shares["on"], found.dropped) == (1, 0, 100)
    assert [entry.score for entry in found.entries] == [None] * 3
    assert "0 of 100 pictures can be read" in found.entries[0].reason
    assert (found.effects == 0).all()


def test_pictures_are_the_same_for_every_model_and_call(sprites):
    one, two = (generators.draw(renderer(sprites), 20) for _ in range(2))
    assert (one.pictures == two.pictures).all()
    assert not (generators.draw(renderer(sprites), 20, "others").pictures == one.pictures).all()
    moved = generators.moved(renderer(sprites), one, 2)
    assert (moved != one.latents).any(0).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("vae", {"codes": 2}, ["z0", "z1"]),
        ("ibgan", {"codes": 2}, ["r0", "r1"]),
        ("infogan", {"continuous": 2, "categorical": (3,)}, ["c0", "c1", "k0"]),
        ("jointvae", {"codes": 2, "discrete": (3,)}, ["z0", "z1", "c0"]),
    ],
)
def test_codes_are_called_as_in_the_paper_and_in_traversals(name, changes, expected):
    method = models.build(name, models.configure(name, "mini", changes), DataInfo((1, 32, 32), 100), seed=0)
    names = judged.code_names(generators.of_method(method, CPU, "it"))
    assert [each.partition(" of ")[0] for each in names] == expected
    assert [judged.is_real(each) for each in names] == ["3" not in each for each in names]
    noise = method.noise(1, torch.Generator().manual_seed(0))
    assert method.traverse(torch.zeros(1, 1, 32, 32), noise, 3)[0] == expected


@pytest.mark.parametrize(
    "name", ["gan", "infogan", "ibgan", "vae", "factorvae", "jointvae", "elastic_infogan"]
)
def test_every_method_with_a_generator_is_one(name):
    config = models.configure(name, "mini", {})
    method = models.build(name, config, DataInfo((1, 32, 32), 100, (0.5, 0.5)), seed=0)
    generator = generators.of_method(method, CPU, "it")
    samples = generators.draw(generator, 5)
    assert samples.pictures.shape == (5, 1, 32, 32)
    assert samples.codes.shape == (5, len(generator.codes))
    for j, code in enumerate(generator.codes):
        if len(code) > 1:
            assert (samples.codes[:, j] == samples.latents[:, list(code)].argmax(1).numpy()).all()
            assert judged.code_names(generator)[j].endswith(f"of {len(code)}")
        else:
            assert samples.codes[:, j] == pytest.approx(samples.latents[:, code[0]].numpy())


def test_a_method_without_latents_is_refused():
    class Mute(models.Method):
        def noise(self, batch, generator):
            return {}

    method = Mute(models.Config(), DataInfo((1, 2, 2), 10))
    with pytest.raises(UsageError, match="cannot draw images"):
        generators.of_method(method, CPU, "it")


def test_a_diverged_model_says_so(sprites):
    broken = generators.Generator(
        "it",
        lambda n, g: torch.zeros(n, 1),
        [range(1)],
        lambda z: torch.full((len(z), 1, 32, 32), np.nan),
        None,
        CPU,
    )
    with pytest.raises(UsageError, match="diverged"):
        generators.draw(broken, 3)


@pytest.mark.parametrize(
    ("pixel", "sentence"),
    [
        (np.inf, "diverged"),
        (-1.0, "pixels from -1 to -1, .* are in .0, 1.; .*tanh"),
        (255.0, "from 255 to 255"),
    ],
)
def test_a_method_whose_pictures_are_none_is_refused_instead_of_clipped(pixel, sentence):
    def drawn(some):
        return torch.full((len(some), 1, 32, 32), pixel)

    broken = generators.Generator("it", lambda n, g: torch.zeros(n, 1), [range(1)], drawn, None, CPU)
    with pytest.raises(UsageError, match=sentence):
        generators.draw(broken, 3)


def test_what_rounding_adds_to_a_pixel_is_clipped():
    def drawn(some):
        return torch.full((len(some), 1, 2, 2), 1 + 1e-6)

    fine = generators.Generator("it", lambda n, g: torch.zeros(n, 1), [range(1)], drawn, None, CPU)
    assert (generators.draw(fine, 3).pictures == 1).all()


# --- oracles of data sets ---


@pytest.mark.parametrize("style", ["color", "noisy"])
def test_styled_sprites_are_read(sprites, style):
    """All 384 images of the small grid, each with its own colour or noise."""
    data = Dataset(style, style, Styled(sprites.storage, style), GRID.names, GRID.sizes)
    read = oracles.of_data(data).read(data.images(np.arange(len(data))).numpy())
    assert (read.rows == np.arange(len(data))).mean() > 0.98
    if style == "color":
        assert (read.distance == 0).all()


def test_what_cannot_be_read_is_refused(sprites):
    scream = Dataset("scream", "s", Styled(sprites.storage, "scream"), GRID.names, GRID.sizes)
    with pytest.raises(UsageError, match="color_dsprites or noisy_dsprites"):
        oracles.of_data(scream)
    with pytest.raises(UsageError, match="no complete grid"):
        oracles.of_data(Dataset("table", "t", sprites.storage))


def test_other_grids_are_read_by_their_levels():
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8)).astype(np.uint8)
    data = Dataset("colours", "c", ArrayStorage(images), ("a", "b"), (3, 4))
    of = oracles.of_data(data)
    assert of.oracle.stored.levels
    near = np.clip(images / 255 + np.random.default_rng(1).normal(0, 0.1, images.shape), 0, 1).astype(
        np.float32
    )
    assert of.read(near).rows.tolist() == list(range(12))
    assert of.read(images.astype(np.float32) / 255).distance == pytest.approx(0, abs=1e-3)


def test_dsprites_has_its_symmetry_and_others_have_none():
    names = ("shape", "scale", "orientation", "posX", "posY")
    assert dsprites.symmetry(names, dsprites.SIZES).times == (4, 2, 1)
    assert dsprites.symmetry(names, (3, 6, 39, 32, 32)) is None
    assert dsprites.symmetry(names[::-1], dsprites.SIZES) is None
    assert dsprites.symmetry((), dsprites.SIZES) is None


# --- labelled data ---


def test_features_and_categories_of_digits(monkeypatch):
    """A generator that draws digits of the class that its category says."""
    data = datasets.load("digits", size=28)
    net = LeNet(1, 28, 10).eval()
    monkeypatch.setattr(net, "features", lambda x: nn.functional.avg_pool2d(x, 7).flatten(1))
    classifier = Classifier(net, "digits", tuple("0123456789"), 0.5, "ab" * 32)
    of_class = [np.flatnonzero(data.labels == k) for k in range(10)]
    labels = {data.images([row]).numpy().tobytes(): int(data.labels[row]) for row in range(len(data))}
    monkeypatch.setattr(judged, "load_classifier", lambda *a, **k: classifier)
    monkeypatch.setattr(
        Classifier, "__call__", lambda self, x: torch.tensor([labels[one.numpy().tobytes()] for one in x])
    )

    def latents(n, numbers):
        hard = torch.eye(10)[torch.randint(10, (n,), generator=numbers)]
        return torch.cat([hard, torch.rand(n, 1, generator=numbers)], 1)

    def generate(some):
        picked = [of_class[int(k)] for k in some[:, :10].argmax(1)]
        rows = [rows[int(u * len(rows))] for rows, u in zip(picked, some[:, 10].tolist(), strict=True)]
        return data.images(rows)

    generator = generators.Generator("it", latents, [range(10)], generate, None, CPU)
    found = judged.judge(generator, data, FEW, n=300)
    values = found.features.values
    assert (found.features.n, found.features.d) == (300, 16)
    # digits drawn from digits, both sets of 300
    assert abs(values["kid"].mean) < 0.01
    assert values["precision"].mean > 0.7
    assert len(values["fid"].scores) == judged.DRAWS
    assert any("few" in warning for warning in found.features.warnings)
    ((name, follows),) = found.followed.items()
    assert name == "k0 of 10"
    assert follows.leader == "class"
    assert follows.shares["class"] == 1.0
    assert follows.classes.tolist() == list(range(10))
    json.dumps(found.plain())


def test_a_real_code_has_levels_of_its_prior():
    """The first code moves a bar's slant, the second nothing; their priors are N(0, 1) and uniform."""
    seen = []

    def latents(n, numbers):
        return torch.cat(
            [torch.randn(n, 1, generator=numbers), 2 * torch.rand(n, 2, generator=numbers) - 1], 1
        )

    def generate(some):
        seen.append(some)
        rows, columns = torch.arange(28.0)[None, :, None], torch.arange(28.0)[None, None, :]
        middle = 13.5 + 0.15 * some[:, 0, None, None] * (rows - 13.5) + 3 * some[:, 2, None, None]
        return ((columns - middle).abs() < 2.5).float()[:, None]

    generator = generators.Generator("it", latents, [range(1), range(1, 2)], generate, None, CPU)
    classifier = Classifier(LeNet(1, 28, 10).eval(), "digits", tuple("0123456789"), 0.5, "ab" * 32)
    found = judged.what_follows(generator, classifier)
    assert [follows.leader for follows in found.values()] == ["rotation", "nothing"]
    # the normal's quantiles .05 and .95, and the uniform's middles of tenths
    levels = torch.cat(seen)
    first = levels[: judged.LEVELS * judged.OF_CATEGORY, 0].unique()
    assert len(first) == judged.LEVELS
    assert first[[0, -1]].tolist() == pytest.approx([-1.645, 1.645], abs=0.06)
    second = levels[judged.LEVELS * judged.OF_CATEGORY :, 1].unique()
    assert second.tolist() == pytest.approx(np.arange(-0.9, 1, 0.2).tolist(), abs=0.03)
    ends = found["z0"].means["rotation"][[0, -1]]
    assert np.tan(ends) == pytest.approx([-0.15 * 1.645, 0.15 * 1.645], abs=0.03)


def test_data_without_grid_classes_or_network_are_refused(sprites):
    bare = Dataset("bare", "b", sprites.storage)
    with pytest.raises(UsageError, match="neither a factor grid nor classes"):
        judged.judge(renderer(sprites), bare, FEW, n=100)


class Features(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(256, 4) * weight)

    def forward(self, images):
        return images.flatten(1) @ self.weight


@pytest.fixture
def nets(tmp_path):
    torch.manual_seed(0)
    for name, weight in (("sound", 1.0), ("same", 0.0), ("diverged", float("nan"))):
        torch.jit.trace(Features(weight).eval(), torch.zeros(8, 1, 16, 16)).save(str(tmp_path / name))
    return tmp_path


def picking(data):
    """A generator that draws images of a data set."""

    def generate(some):
        return data.images((some[:, 0] * len(data)).long().numpy())

    return generators.Generator(
        "it", lambda n, g: torch.rand(n, 1, generator=g), [range(1)], generate, None, CPU
    )


def test_a_network_of_features_is_told_its_range_and_says_what_it_assumes(nets, home):
    data = datasets.load(str(home / "grid.npz"))
    found = {}
    for span in ("", "-1,1"):
        net = judged.feature_net(nets / "sound", data, sources.Wanted(span), None)
        found[span] = judged.compared(picking(data), data, net, 20)
    assert "[0, 1], which is assumed" in found[""].assumed[0]
    assert "sound: images" in found["-1,1"].assumed[0]
    assert "assumed" not in found["-1,1"].assumed[0]
    # twice the distance of features that are linear is four times its square
    assert found["-1,1"].values["fid"].mean == pytest.approx(4 * found[""].values["fid"].mean, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "words"),
    [("same", "4 features of same.* are the same for all"), ("diverged", "features of div")],
)
def test_a_network_of_features_that_tells_nothing_is_refused(nets, home, name, words):
    # such as FID 0, precision and recall 1
    data = datasets.load(str(home / "grid.npz"))
    net = judged.feature_net(nets / name, data, sources.Wanted(), None)
    with pytest.raises(UsageError, match=words):
        judged.compared(picking(data), data, net, 20)


@pytest.mark.parametrize("outputs", [2, 3])
def test_a_network_of_features_has_no_other_output(home, tmp_path, outputs):
    """Two outputs of one shape are mean and log-variance of an encoder, and here they may be anything."""

    class Several(nn.Module):
        def forward(self, images):
            return (images.flatten(1)[:, :4],) * outputs

    path = tmp_path / "several.pt"
    torch.jit.trace(Several(), torch.zeros(8, 1, 16, 16)).save(str(path))
    data = datasets.load(str(home / "grid.npz"))
    with pytest.raises(UsageError, match=r"has several outputs: .*; export it with the features") as error:
        judged.feature_net(path, data, sources.Wanted(), None)
    assert argument("output") not in error.value.marked


# --- strangers' decoders ---


class Decoder(nn.Module):
    def __init__(self, signed=False, size=16):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4 * (size // 2) ** 2), nn.ConvTranspose2d(4, 1, 4, 2, 1)
        self.signed, self.side = signed, size // 2

    def forward(self, z):
        h = torch.relu(self.first(z)).reshape(-1, 4, self.side, self.side)
        out = self.second(h)
        return torch.tanh(out) if self.signed else torch.sigmoid(out)


@pytest.fixture(scope="module")
def decoder_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoders")
    torch.manual_seed(3)
    made = Decoder().eval()
    some = torch.randn(4, 3)
    free = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(made, (some,), dynamic_shapes=free), folder / "free.pt2")
    torch.export.save(torch.export.export(made, (some,)), folder / "fixed.pt2")
    torch.jit.trace(made, some).save(str(folder / "traced.pt"))
    return folder, made


@pytest.mark.parametrize("file", ["free.pt2", "fixed.pt2", "traced.pt"])
def test_a_strangers_decoder_draws_what_it_would_draw_here(home, decoder_files, file):
    folder, made = decoder_files
    options = sources.SourceOptions(dataset=str(home / "grid.npz"))
    count = 3 if file == "traced.pt" else None
    opened = decoders.open_generator(folder / file, options, decoders.Latents(count))
    samples = generators.draw(opened.generator, 10)
    with torch.no_grad():
        expected = made(samples.latents)
    torch.testing.assert_close(torch.from_numpy(samples.pictures), expected)
    assert len(opened.generator.codes) == 3
    assert any("[0, 1]" in note for note in opened.notes)


@pytest.mark.parametrize("side", [28, 32])
def test_a_decoder_draws_at_the_size_of_the_data_that_is_its_own(tmp_path, side):
    """Digits are there at 28 and 32 pixels; a size that is given is not looked for."""
    torch.manual_seed(3)
    some = torch.zeros(4, 3)
    torch.export.save(torch.export.export(Decoder(size=side).eval(), (some,)), tmp_path / "d.pt2")
    opened = decoders.open_generator(
        tmp_path / "d.pt2", sources.SourceOptions(dataset="digits"), decoders.Latents()
    )
    assert opened.data.shape == (1, side, side)
    assert f"its pictures are {side}x{side} pixels, as those of digits" in opened.notes
    wanted = sources.Wanted(size=60 - side)
    options = sources.SourceOptions(dataset="digits", wanted=wanted)
    with pytest.raises(UsageError, match="the pictures of digits are"):
        decoders.open_generator(tmp_path / "d.pt2", options, decoders.Latents())


def network(module, shape=(None, 3)):
    return Network(apart.Path("it"), module.eval(), shape)


def test_a_decoder_that_ends_in_a_tanh_is_brought_to_0_and_1(home):
    data = datasets.load(str(home / "grid.npz"))
    generator, notes = decoders.fit(network(Decoder(signed=True)), data, decoders.Latents(), "")
    assert any("[-1, 1]" in note for note in notes)
    pictures = generators.draw(generator, 30).pictures
    assert 0 <= pictures.min() < 0.5 < pictures.max() <= 1


def test_a_uniform_prior_and_latents_with_sizes_behind():
    class Flat(nn.Module):
        def forward(self, z):
            assert z.shape[1:] == (3, 1, 1)
            assert z.abs().max() <= 1
            return z.reshape(-1, 3)[:, :1].abs().expand(-1, 4)

    data = Dataset("four", "4", ArrayStorage(np.zeros((4, 1, 2, 2), np.uint8)), ("a",), (4,))
    generator, _ = decoders.fit(network(Flat(), (None, 3, 1, 1)), data, decoders.Latents(None, "uniform"), "")
    assert generators.draw(generator, 7).pictures.shape == (7, 1, 2, 2)


def refusing(returned):
    class Fixed(nn.Module):
        def forward(self, z):
            return returned(z)

    return Fixed()


@pytest.mark.parametrize(
    ("returned", "shape", "count", "sentence"),
    [
        (lambda z: 5 * torch.ones(len(z), 256), (None, 3), None, "ends in a sigmoid"),
        (lambda z: z[:, :1] * torch.full((256,), np.nan), (None, 3), None, "NaN or infinite"),
        (lambda z: torch.full((len(z), 256), np.inf), (None, 3), None, "NaN or infinite"),
        (lambda z: torch.zeros(len(z), 9), (None, 3), None, "pictures of .* are"),
        (lambda z: (torch.zeros(len(z), 256), torch.zeros(len(z), 1, 16, 16)), (None, 3), None, "choose one"),
        (lambda z: z, None, None, "does not say how many latents"),
        (lambda z: z, (None, None), None, "any number of latents"),
        (lambda z: z, (None, 3), 4, "takes 3 latents"),
        (lambda z: z, (None, 1, 16, 16), None, "not latents"),
        (lambda z: z, (None, 0), None, "takes 0 latents; .* 1 to 10,000"),
        (lambda z: z, (None, 2_000_000_000), None, "takes 2,000,000,000 latents"),
        (lambda z: z, (0, 3), None, "takes 0 rows of latents at a time"),
        (lambda z: z, (2_000_000_000, 3), None, "takes 2,000,000,000 rows of latents at a time"),
        (lambda z: z @ z, (None, 3), None, "fails on latents"),
    ],
)
def test_refused_decoders(home, returned, shape, count, sentence):
    data = datasets.load(str(home / "grid.npz"))
    with pytest.raises(UsageError, match=sentence):
        decoders.fit(network(refusing(returned), shape), data, decoders.Latents(count), "")


@pytest.mark.parametrize("output", ["pictures", "1"])
def test_the_pictures_are_the_output_of_that_name_or_number(home, output):
    module = refusing(
        lambda z: {"grey": torch.full((len(z), 256), 0.5), "pictures": torch.zeros(len(z), 256)}
    )
    data = datasets.load(str(home / "grid.npz"))
    generator, _ = decoders.fit(network(module), data, decoders.Latents(), output)
    assert generators.draw(generator, 3).pictures.max() == 0
    with pytest.raises(UsageError, match=r"unknown output of it .* '2'; choose from: grey, pictures"):
        decoders.fit(network(module), data, decoders.Latents(), "2")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_a_decoder_of_whole_numbers_is_refused(home, dtype):
    # in which nearly all latents would become 0
    module = refusing(lambda z: torch.sigmoid(z.float() @ torch.ones(3, 256)))
    with pytest.raises(UsageError, match=f"takes {encoders.named(dtype)}, and latents are real numbers"):
        decoders.fit(
            Network(apart.Path("it"), module, (None, 3), dtype),
            datasets.load(str(home / "grid.npz")),
            decoders.Latents(),
            "",
        )


def test_a_decoder_that_leaves_its_range_later_is_refused(home):
    data = datasets.load(str(home / "grid.npz"))

    def returned(z):
        return torch.zeros(len(z), 256) + 2 * (z[:, :1] > 3)

    generator, _ = decoders.fit(network(refusing(returned)), data, decoders.Latents(), "")
    with pytest.raises(UsageError, match="although its first pictures"):
        generators.draw(generator, 2_000)


class Unsteady(nn.Module):
    """A decoder whose picture is not that of its latents alone."""

    def __init__(self, kind):
        super().__init__()
        self.made, self.kind = Decoder(), kind

    def forward(self, z):
        if self.kind == "dropout":
            z = torch.nn.functional.dropout(z, 0.5, training=True)
        if self.kind == "batch norm":
            z = torch.nn.functional.batch_norm(z, None, None, training=True)
        if self.kind == "sampling":
            return torch.bernoulli(self.made(z))
        return self.made(z).flip(0) if self.kind == "order" else self.made(z)


@pytest.mark.parametrize("kind", ["dropout", "batch norm", "sampling", "order"])
@pytest.mark.parametrize("batch", [None, 7, 100])
def test_a_picture_is_that_of_its_latents_alone(home, kind, batch):
    data = datasets.load(str(home / "grid.npz"))
    with pytest.raises(UsageError, match=r"depends on the batch or changes between calls; .*model.eval"):
        decoders.fit(network(Unsteady(kind), (batch, 3)), data, decoders.Latents(), "")


@pytest.mark.parametrize("batch", [None, 1, 7, 100])
def test_a_steady_decoder_is_taken_at_any_batch(home, batch):
    data = datasets.load(str(home / "grid.npz"))
    generator, _ = decoders.fit(network(Unsteady(""), (batch, 3)), data, decoders.Latents(), "")
    assert generators.draw(generator, 3).pictures.shape == (3, 1, 16, 16)


@pytest.mark.parametrize(
    ("file", "options", "latents", "sentence"),
    [
        ("free.pt2", {}, {}, "what its pictures should show"),
        ("free.pt2", {"factory": "a:b"}, {}, "factory has no effect"),
        ("state.pt", {"dataset": "d", "factory": "a:b"}, {}, "is no generator"),
        ("order.npy", {"dataset": "d"}, {}, "is no generator"),
        ("state.pt", {"dataset": "d"}, {"count": 3}, "latents belongs to a decoder"),
    ],
)
def test_refused_files(home, decoder_files, file, options, latents, sentence):
    path = (decoder_files[0] if file == "free.pt2" else home) / file
    with pytest.raises(UsageError, match=sentence):
        decoders.open_generator(path, sources.SourceOptions(**options), decoders.Latents(**latents))


@pytest.mark.parametrize(("given", "sentence"), [((0, "normal"), "give 1 to"), ((3, "gauss"), "prior")])
def test_refused_latents(given, sentence):
    with pytest.raises(UsageError, match=sentence):
        decoders.Latents(*given)


# --- the program ---


def test_the_program_judges_and_draws_a_decoder(disbench, home, decoder_files, tmp_path):
    file, grid = decoder_files[0] / "free.pt2", home / "grid.npz"
    code, out, _ = disbench(
        "score", file, "--generator", "--dataset", grid, "--pictures", 120, "--metrics", "mig"
    )
    assert code == 0
    assert "metric of the generator" in out
    assert "z2" in out
    code, out, _ = disbench(
        "score", file, "--generator", "--dataset", grid, "--pictures", 120, "--metrics", "mig", "--json"
    )
    found = json.loads(out)["details"][0]
    assert found["generator"]["pictures"] == 120
    assert found["generator"]["scores"][0]["metric"] == "mig"
    code, out, _ = disbench(
        "samples", file, "--dataset", grid, "--out", tmp_path / "s", "--count", 13, "--read", "--seed", 1
    )
    assert code == 0
    assert "shape, scale, x of the nearest image" in out
    # two rows of ten, the second with three
    assert Image.open(tmp_path / "s.png").size == (32 + 10 * 66, 2 * (64 + 2 + 3 * 13) + 2)


def walked(decoder_files, grid, prior="normal", start=None):
    file, made = decoder_files[0] / "free.pt2", decoder_files[1]
    opened = decoders.open_generator(
        file, sources.SourceOptions(dataset=str(grid)), decoders.Latents(None, prior)
    )
    return decoders.Walk(opened, prior, start), made


@pytest.mark.parametrize(("prior", "ends"), [("normal", 2.0), ("uniform", 1.0)])
def test_a_walk_moves_one_latent_of_a_decoder_at_a_time(home, decoder_files, prior, ends):
    walk, made = walked(decoder_files, home / "grid.npz", prior)
    labels, drawn = walk.traverse(torch.zeros(1), {}, 5)
    assert labels == ["z0", "z1", "z2"]
    latents = torch.zeros(3, 5, 3)
    for j in range(3):
        latents[j, :, j] = torch.linspace(-ends, ends, 5)
    with torch.no_grad():
        torch.testing.assert_close(drawn, made(latents.reshape(15, 3)).reshape(3, 5, 1, 16, 16))
    _, narrow = walk.traverse(torch.zeros(1), {}, 3, (0.0, 0.5))
    with torch.no_grad():
        torch.testing.assert_close(narrow[1, 2], made(torch.tensor([[0.0, 0.5, 0.0]]))[0])


def test_a_walk_starts_from_the_code_of_an_image(home, decoder_files):
    code = torch.tensor([[0.3, -0.2, 0.7]])
    walk, made = walked(decoder_files, home / "grid.npz", start=code)
    _, drawn = walk.traverse(torch.zeros(1), {}, 3)
    moved = code.clone()
    moved[0, 1] = -2.0
    with torch.no_grad():
        torch.testing.assert_close(drawn[1, 0], made(moved)[0])
    with pytest.raises(UsageError, match="takes 3 latents, and encoder gives 2 codes"):
        walked(decoder_files, home / "grid.npz", start=torch.zeros(1, 2))


@pytest.mark.parametrize("encoder", ["free.pt2", "rows.npz", "order.npy"])
def test_a_traversal_of_a_strangers_decoder_and_encoder(home, decoder_files, disbench, tmp_path, encoder):
    given = (
        "traverse",
        decoder_files[0] / "free.pt2",
        "--dataset",
        home / "grid.npz",
        "--out",
        tmp_path / "t",
    )
    code, out, err = disbench(*given, "--encoder", home / encoder, "--start", 7, "--steps", 4, "--read")
    assert code == 0, err
    assert out.strip().splitlines()[-2:] == [str(tmp_path / "t.png"), str(tmp_path / "t.gif")]
    made = decoder_files[1]
    start = torch.from_numpy(np.load(home / "order.npy")[7:8])
    walk, _ = walked(decoder_files, home / "grid.npz", start=start)
    _, drawn = walk.traverse(torch.zeros(1), {}, 4)
    latents = start.clone()
    latents[0, 2] = 2.0
    with torch.no_grad():
        torch.testing.assert_close(drawn[2, -1], made(latents)[0], atol=1e-4, rtol=1e-4)
    page = np.asarray(Image.open(tmp_path / "t.png").convert("L"))
    assert page.std() > 0
    assert disbench(*given, "--range=-1,1", "--steps", 2)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["DECODER"], "--dataset"),
        (["DECODER", "--dataset", "GRID", "--start", "3"], "--start is the row whose code --encoder gives"),
        (["DECODER", "--dataset", "GRID", "--encoder", "CODES", "--start", "60"], "the rows 0 to 59"),
        (["DECODER", "--dataset", "GRID", "--prior", "gauss"], "--prior"),
        (["DECODER", "--dataset", "GRID", "--method", "vae"], "--method"),
        (["CODES"], "draws no pictures; give a checkpoint"),
        (["STATE", "--dataset", "GRID"], "omit --dataset"),
        (["STATE"], "not a disbench checkpoint"),
        (["CODES", "--prior", "uniform"], "--prior belongs to a decoder"),
        (["CODES", "--encoder", "CODES"], "--encoder belongs to a decoder"),
    ],
)
def test_refused_traversals(home, decoder_files, disbench, arguments, sentence):
    named = {"DECODER": decoder_files[0] / "free.pt2", "GRID": home / "grid.npz", "CODES": home / "order.npy"}
    named["STATE"] = home / "state.pt"
    code, _, err = disbench("traverse", *(named.get(each, each) for each in arguments))
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err


def test_a_state_dict_of_a_method_is_traversed_as_its_checkpoint(quick_run, disbench, tmp_path):
    (checkpoint,) = quick_run.glob("betavae-*/seed-0/checkpoint.pt")
    torch.save(models.load_checkpoint(checkpoint).build("cpu").state_dict(), tmp_path / "state.pt")
    changed = ("--method", "betavae", "--config", "mini", "--dataset", "dsprites", "--size", "32")
    for arguments, stem in (((checkpoint,), "a"), ((tmp_path / "state.pt", *changed), "b")):
        code, _, err = disbench("traverse", *arguments, "--out", tmp_path / stem, "--steps", 3)
        assert code == 0, err
    one, other = (np.asarray(Image.open(tmp_path / f"{stem}.png")) for stem in "ab")
    assert (one == other).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["score", "FILE", "--pictures", "200"], "--pictures belongs to --generator"),
        (["score", "FILE", "--prior", "normal"], "--prior belongs to --generator"),
        (["score", "FILE", "--generator", "--live", "std"], "--live is of codes"),
        (
            ["score", "FILE", "--generator", "--input-range=0,1", "--dataset", "digits"],
            "--input-range belongs to --features",
        ),
        (["score", "FILE", "--generator", "--pictures", "5", "--dataset", "digits"], "--pictures 5"),
        (["score", "FILE", "--generator", "--pictures", "9000000", "--dataset", "digits"], "to 1,000,000"),
        (["score", "FILE", "--generator"], "--dataset"),
        (["samples", "FILE", "--count", "0"], "--count 0"),
        (["samples", "FILE", "--out", ".."], "--out .. is a folder"),
        (["samples", "FILE", "--out", "a.jpg"], "--out a.jpg was given, and pictures are .png and .gif"),
        (["traverse", "FILE", "--out", "a.pdf"], "--out a.pdf was given"),
        (["samples", "FILE", "--dataset", "digits", "--prior", "gauss"], "--prior"),
    ],
)
def test_the_program_refuses(disbench, decoder_files, arguments, sentence):
    file = str(decoder_files[0] / "free.pt2")
    code, _, error = disbench(*[file if word == "FILE" else word for word in arguments])
    assert code == 2
    assert sentence in error


def test_what_was_judged_shows_itself_in_a_notebook(home, decoder_files):
    grid = home / "grid.npz"
    one = api.judge(decoder_files[0] / "free.pt2", dataset=str(grid), pictures=100, metrics="mig")
    text = one._repr_html_()
    assert "<th>metric of the generator</th>" in text
    assert "<td>fidelity</td>" in text
    assert f"{one.judged.grid.entries[0].score:.4f}" in text
