"""Log-variances on their way from methods, encoders and files to the scores, and which codes count."""

import errno

import numpy as np
import pytest
import torch
from torch import nn

import disbench
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset
from disbench.benchmark.protocols import MetricChoice, choose_metrics
from disbench.benchmark.scoring import measuring, scoring
from disbench.benchmark.scoring.entries import Beside, Draws, ScoreEntry, read_entries
from disbench.benchmark.scoring.trained import Trained
from disbench.errors import UsageError
from disbench.metrics import Grid, get
from disbench.models import DataInfo, Method
from disbench.models.method import Config

GRID = Grid((3, 4, 5), ("a", "b", "c"))
FACTORS = GRID.factors(np.arange(60))
# Three live codes; the mean of the fourth moves by .12, and it has the prior's variance: KL .5 E[mu^2].
MEAN = np.column_stack([FACTORS, 0.03 * (FACTORS[:, 0] + FACTORS[:, 1] / 2) - 0.05]).astype(np.float32)
LOGVAR = np.column_stack([np.full((60, 3), -4.0), np.zeros(60)]).astype(np.float32)
KL = 0.5 * (MEAN.astype(float) ** 2 + np.exp(LOGVAR.astype(float)) - LOGVAR - 1).mean(axis=0)
VOTES = {"votes": 200, "eval_votes": 100, "variance_rows": 200}


class Gaussian(Method):
    """The number of an image is its first pixel; mean and log-variance are looked up."""

    def __init__(self, shift=0.0, part=slice(None)):
        super().__init__(Config(), DataInfo((1, 1, 1), 60))
        self.shift, self.part, self.seen = shift, part, 0

    def lookup(self, images):
        self.seen += len(images)
        rows = (images.flatten(1)[:, 0] * 255).round().long()
        return torch.from_numpy(MEAN)[rows], torch.from_numpy(LOGVAR)[rows]

    def noise(self, batch, generator):
        return {}

    def represent(self, images):
        return self.lookup(images)[0] + self.shift

    def gaussians(self, images):
        mean, logvar = self.lookup(images)
        return mean, logvar[:, self.part]


class Plain(Gaussian):
    gaussians = Method.gaussians


def data():
    pixels = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)
    return Dataset("grid", "0" * 64, ArrayStorage(pixels), GRID.names, GRID.sizes)


def score(method, *choices, **options):
    chosen = [c if isinstance(c, MetricChoice) else choose_metrics(c)[0] for c in choices]
    return scoring.score(Trained(method, data(), torch.device("cpu")), data(), chosen, **options)


def voting(preset):
    return MetricChoice(name="factor_vae", preset=preset, settings=VOTES)


def test_every_entry_has_the_kl_of_each_code_and_every_image_is_encoded_once():
    method = Gaussian()
    table, votes, chen = score(method, "mig", voting("dlib"), "mig_chen:fast")
    for entry in (table, votes, chen):
        assert entry.kl == pytest.approx(KL, rel=1e-5)
    assert method.seen == 60 + 4  # two images tell, twice, that there is a posterior
    assert chen.score == pytest.approx(
        get("mig_chen")(MEAN, LOGVAR, FACTORS, rng=np.random.default_rng(0), preset="fast").score, abs=0.02
    )
    assert score(Plain(), "mig")[0].kl is None


def test_the_kl_is_of_the_same_rows_whatever_is_scored():
    """Two votes ask for few of the 60 images; the others are encoded for the KL, each once."""
    settings = {"batch": 2, "votes": 1, "eval_votes": 1, "variance_rows": 2}
    choice, method = MetricChoice(name="factor_vae", preset="dlib", settings=settings), Gaussian()
    (entry,) = score(method, choice)
    assert entry.n_encoded == 6
    assert entry.kl == pytest.approx(KL, rel=1e-5)
    assert method.seen == 60 + 4


@pytest.mark.parametrize("name", ["mig_sup", "aam", "mig"])
@pytest.mark.parametrize("rule", ["kl", "std", "none"])
def test_a_rule_for_all_metrics(name, rule):
    """The deviation of the collapsed code is .03, so that both rules leave it out."""
    (entry,) = score(Gaussian(), name, live=rule)
    codes = MEAN if rule == "none" else MEAN[:, :3]
    assert entry.score == pytest.approx(get(name)(codes, FACTORS).score)
    assert entry.rule == rule
    assert entry.label.endswith(f", live={rule}") == (rule != "none")
    assert entry.beside is None


@pytest.mark.parametrize(("times", "live"), [(1, False), (4, True)])
def test_a_code_that_is_no_gaussian_counts_by_its_deviation(times, live):
    """The deviation of the last code is .03, or .12."""

    class Mixed(Gaussian):
        def lookup(self, images):
            mean, logvar = super().lookup(images)
            logvar = logvar.clone()
            logvar[:, 3] = np.nan
            return mean * torch.tensor([1, 1, 1, times]), logvar

    (entry,) = score(Mixed(), "mig_sup", live="kl")
    assert entry.live == [True, True, True, live]
    assert entry.kl[:3] == pytest.approx(KL[:3], rel=1e-5)
    assert entry.kl[3] is None
    (chen,) = score(Mixed(), "mig_chen:fast")
    assert "code 3, counted from 0, has no log-variance and reaches from" in chen.reason


def test_a_code_that_moves_more_than_the_std_rule_asks_is_dead_by_its_kl_alone():
    class Wide(Gaussian):
        def lookup(self, images):
            mean, logvar = super().lookup(images)
            return mean * torch.tensor([1, 1, 1, 4.0]), logvar

    by_std, by_kl = (score(Wide(), "mig_sup", live=rule)[0] for rule in ("std", "kl"))
    assert by_std.live == [True, True, True, True]
    assert by_kl.live == [True, True, True, False]
    assert by_kl.score > by_std.score + 0.02


def test_kim2018_is_by_kl_where_there_is_a_posterior_and_no_other_preset_changes():
    kim, dlib, ibgan = score(Gaussian(), *map(voting, ("kim2018", "dlib", "ibgan")))
    assert (kim.rule, dlib.rule, ibgan.rule) == ("kl", None, None)
    assert kim.label == "kim2018, " + ", ".join(f"{name}={value}" for name, value in VOTES.items())
    (without,) = score(Plain(), voting("kim2018"))
    assert without.rule is None
    assert "no posterior was given" in without.warnings[0]
    assert not any("no posterior" in warning for warning in kim.warnings)


def test_a_preset_s_own_least_kl_decides_which_codes_count():
    """The KL of the live codes are about 2.2, 2.9 and 4.4 nats."""
    changed = {"votes": 100, "variance_rows": 60, "least_kl": 2.5}
    (choice,) = choose_metrics("factor_vae:dupont2018")
    (usual,) = score(Gaussian(), choice.model_copy(update={"settings": {"votes": 100}}))
    (strict,) = score(Gaussian(), choice.model_copy(update={"settings": changed}))
    assert list(usual.live) == list(KL >= 1)
    assert list(strict.live) == list(KL >= 2.5)
    assert sum(strict.live) < sum(usual.live)


def test_a_second_score_where_codes_have_collapsed():
    mig, kim, nothing = score(Gaussian(), "mig_sup", voting("kim2018"), "active_units", beside=True)
    assert mig.score == pytest.approx(get("mig_sup")(MEAN, FACTORS).score)
    assert mig.beside == Beside("kl", 3, 4, mig.beside.score)
    assert mig.beside.score == pytest.approx(get("mig_sup")(MEAN[:, :3], FACTORS).score)
    assert mig.moved
    assert (kim.rule, kim.beside.rule, kim.beside.live) == ("kl", "none", 4)
    assert nothing.score == nothing.beside.score == 3
    assert not nothing.moved
    assert score(Gaussian(), "mig_sup")[0].beside is None
    assert score(Plain(), "mig_sup", beside=True)[0].beside is None
    again = read_entries([mig.plain()])
    assert again[0].beside == mig.beside
    assert again[0].kl == mig.kl


def test_a_second_score_that_fails_leaves_the_first(monkeypatch):
    metric = get("mig")

    def fails(*args, live=None, **settings):
        if live is not None:
            raise ZeroDivisionError("by nothing")
        return metric.fn(*args, **settings)

    monkeypatch.setitem(scoring.metrics.registry._METRICS, "mig", scoring.replace(metric, fn=fails))
    (entry,) = score(Gaussian(), "mig", beside=True)
    assert entry.score is not None
    assert entry.beside is None
    assert "no score of the 3 codes that are live by the rule kl: by nothing" in entry.warnings


def test_a_second_score_for_which_the_disk_is_full_ends_all(monkeypatch):
    """An error of the system is no fault of the metric."""
    measure, calls = measuring.Material.measure, []

    def second(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return measure(*arguments)

    monkeypatch.setattr(measuring.Material, "measure", second)
    with pytest.raises(OSError, match="No space left"):
        score(Gaussian(), "mig", beside=True)


@pytest.mark.parametrize(
    ("ours", "others", "spread", "moved"),
    [(0.5, 0.511, None, True), (0.5, 0.509, None, False), (0.5, 0.54, 0.05, False), (0.5, 0.56, 0.05, True)],
)
def test_what_differs_by_more_than_the_spread_or_a_hundredth_is_shown(ours, others, spread, moved):
    def draws(mean):
        return None if spread is None else Draws([mean, mean], mean, spread, mean, mean)

    beside = Beside("kl", 3, 4, others, draws(others))
    entry = ScoreEntry("mig", "dlib", {}, score=ours, draws=draws(ours), beside=beside)
    assert entry.moved is moved


def test_a_stored_score_does_not_answer_for_a_preset_that_has_changed():
    choice = choose_metrics("factor_vae:kim2018")[0]
    (entry,) = score(Gaussian(), voting("kim2018"))
    now = scoring.replace(entry, changed={}, settings=choice_settings(choice))
    assert now.answers(choice)
    assert not scoring.replace(now, settings={**now.settings, "prune": "std"}).answers(choice)


def choice_settings(choice):
    return get(choice.name).settings(choice.preset)


def test_a_method_whose_codes_are_not_its_means_has_no_posterior():
    (entry,) = score(Gaussian(shift=1.0), "mig")
    assert entry.kl is None
    with pytest.raises(
        UsageError, match=r"live kl needs .* Gaussian.represent gives other codes than the means"
    ):
        score(Gaussian(shift=1.0), "mig", live="kl")
    with pytest.raises(
        UsageError, match=r"Gaussian.gaussians gave tables \(2, 4\), \(2, 2\) for codes \(2, 4\)"
    ):
        score(Gaussian(part=slice(2)), "mig")


@pytest.mark.parametrize(
    ("live", "words"),
    [
        ("kl", "live kl needs the posterior of the codes, mean and log-variance, and Plain has no Gaussian"),
        ("kls", "unknown value of live 'kls'; did you mean 'kl'"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_before_anything_is_encoded(live, words):
    method = Plain()
    with pytest.raises(UsageError, match=words):
        score(method, "mig", live=live)
    assert method.seen <= 4


def test_a_metric_of_posteriors_without_one_says_what_to_give():
    (entry,) = score(Plain(), "mig_chen")
    assert entry.score is None
    assert (
        "Plain has no Gaussian posterior of its codes (`gaussians`); give codes with logvar" in entry.reason
    )


# --- Files ---


def save(path, **arrays):
    """Arrays in the format of the file's ending."""
    match path.suffix:
        case ".npz":
            np.savez(path, **arrays)
        case ".pt":
            torch.save({name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}, path)
        case ".safetensors":
            from safetensors.numpy import save_file

            save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, path)
        case ".h5":
            import h5py

            with h5py.File(path, "w") as file:
                for name, array in arrays.items():
                    file[f"run/{name}"] = array
        case ".mat":
            from scipy.io import savemat

            savemat(path, arrays)
    return path


@pytest.mark.parametrize("name", ["c.npz", "c.pt", "c.safetensors", "c.h5", "c.mat"])
def test_codes_with_logvar_in_every_format_that_names_arrays(tmp_path, name):
    order = np.random.default_rng(0).permutation(60)
    path = save(tmp_path / name, codes=MEAN[order], logvar=LOGVAR[order], factors=FACTORS[order])
    scored = disbench.score(path, metrics="mig_chen:fast,mig_sup", live="kl")
    chen, sup = scored.scores
    assert sup.kl == pytest.approx(KL, rel=1e-5)
    assert sup.score == pytest.approx(get("mig_sup")(MEAN[:, :3], FACTORS).score)
    assert chen.score > 0.9
    assert any("their log-variances are its array 'logvar'" in note for note in scored.assumed)


@pytest.mark.parametrize(
    ("logvar", "words"),
    [
        (LOGVAR[:, :2], r"c.npz: codes \(60, 4\) and logvar \(60, 2\) must match; give the natural log"),
        (LOGVAR[:30], r"c.npz: codes \(60, 4\) and logvar \(30, 4\) must match"),
        (LOGVAR[:, 0], r"c.npz: codes \(60, 4\) and logvar \(60,\) must match"),
        (np.full((60, 4), -np.inf), "60 of 60 rows of logvar hold NaN or infinity"),
        (LOGVAR - 1000, "logvar reaches 1e.03, and no float holds the variance"),
        (LOGVAR.astype(str), "must be real numbers, but they are text"),
    ],
    ids=["columns", "rows", "vector", "infinite", "too large", "text"],
)
def test_log_variances_in_a_file_that_are_none_are_refused(tmp_path, logvar, words):
    path = save(tmp_path / "c.npz", codes=MEAN, logvar=logvar, factors=FACTORS)
    with pytest.raises(UsageError, match=words):
        disbench.score(path, metrics="mig")


def test_variances_under_the_name_of_their_log_are_pointed_out(tmp_path):
    path = save(tmp_path / "c.npz", codes=MEAN, logvar=np.exp(LOGVAR), factors=FACTORS)
    notes = disbench.score(path, metrics="mig").assumed
    assert "its logvar is never negative, as variances are; is it the natural log of them?" in notes


def test_a_row_twice_with_other_log_variances_is_refused(tmp_path):
    twice = np.append(np.arange(60), 3)
    logvar = LOGVAR[twice]
    path = save(tmp_path / "c.npz", codes=MEAN[twice], logvar=logvar, rows=twice)
    set_ = save(tmp_path / "d.npz", images=np.zeros((60, 8, 8), np.uint8), factors=FACTORS)
    assert disbench.score(path, dataset=str(set_), metrics="mig", data_dir=tmp_path)["mig"] is not None
    logvar[-1] += 1
    save(path, codes=MEAN[twice], logvar=logvar, rows=twice)
    with pytest.raises(UsageError, match="image 3 occurs twice with different codes"):
        disbench.score(path, dataset=str(set_), metrics="mig", data_dir=tmp_path)


def test_the_command_line_shows_both_numbers_and_refuses_what_cannot_be(disbench, tmp_path):
    path = save(tmp_path / "c.npz", codes=MEAN, logvar=LOGVAR, factors=FACTORS)
    code, out, err = disbench("score", path, "--metrics", "mig_sup,active_units")
    assert code == 0, err
    assert "1 of 4 codes have collapsed, their KL is below 0.1 nats: " in out
    both = f"mig_sup:li2020 of the 3 live codes of 4: {get('mig_sup')(MEAN[:, :3], FACTORS).score:.4f}"
    assert both in out
    assert "active_units:burda2016 of the" not in out
    code, out, _ = disbench("score", path, "--metrics", "mig_sup", "--live", "kl")
    assert "li2020, live=kl" in out
    bare = save(tmp_path / "b.npz", codes=MEAN, factors=FACTORS)
    code, _, err = disbench("score", bare, "--metrics", "mig", "--live", "kl")
    assert code == 2
    assert "b.npz: --live kl needs the posterior" in err
    assert "(`logvar`); give codes with logvar of their shape, or take --live std" in err
    assert len(err.strip().splitlines()) == 1


# --- Encoders of strangers ---


class Encoder(nn.Module):
    """Looks codes up by the first pixel, and returns them as the subclass says."""

    def __init__(self):
        super().__init__()
        self.mean, self.logvar = torch.from_numpy(MEAN), torch.from_numpy(LOGVAR)

    def both(self, x):
        rows = (x.flatten(1)[:, 0] * 59).round().long()
        return self.mean[rows], self.logvar[rows]


RETURNED = {
    "a pair": (lambda m, v: (m, v), "", True),
    "names": (lambda m, v: {"logvar": v, "mu": m}, "", True),
    "other outputs": (lambda m, v: {"z": m + 0.5, "mean": m, "log_var": v}, "", True),
    "halves": (lambda m, v: torch.cat([m, v], 1), "first-half", True),
    "a pair with a deviation": (lambda m, v: (m, (v / 2).exp()), "", False),
    "the name of a deviation": (lambda m, v: {"mean": m, "std": (v / 2).exp()}, "", False),
    "names that say nothing": (lambda m, v: {"a": m, "b": v}, "", False),
    "another number of columns": (lambda m, v: {"mean": m, "logvar": v[:, :2]}, "", False),
    "the code alone": (lambda m, v: m, "", False),
    "two log-variances": (lambda m, v: {"mean": m, "logvar": v, "log_var": v}, "", False),
    "a chosen output": (lambda m, v: {"z": m, "logvar": v, "mean": m}, "z", False),
}


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A data set whose images say which they are."""
    path = tmp_path_factory.mktemp("data") / "d.npz"
    images = np.broadcast_to(np.round(np.arange(60) * 255 / 59).astype(np.uint8)[:, None, None], (60, 4, 4))
    np.savez(path, images=images, factors=FACTORS)
    return path


@pytest.mark.parametrize("form", RETURNED)
def test_a_function_that_gives_a_log_variance_without_doubt(numbered, form):
    shape, output, known = RETURNED[form]
    encoder = Encoder()
    options = {"dataset": str(numbered), "output": output, "data_dir": numbered.parent, "metrics": "mig_sup"}
    scored = disbench.score(lambda x: shape(*encoder.both(x)), **options)
    (entry,) = scored.scores
    assert entry.score is not None
    if known:
        assert entry.kl == pytest.approx(KL, rel=1e-4)
        assert entry.beside.live == 3
        return
    assert entry.kl is None
    with pytest.raises(
        UsageError, match="live kl needs the posterior of the codes, mean and log-variance, and "
    ):
        disbench.score(lambda x: shape(*encoder.both(x)), **options, live="kl")


class Pair(Encoder):
    def forward(self, x):
        return self.both(x)


def test_a_traced_encoder_in_its_own_process(numbered, tmp_path):
    torch.jit.trace(Pair(), torch.rand(2, 1, 4, 4)).save(str(tmp_path / "pair.pt"))
    options = {"dataset": str(numbered), "data_dir": numbered.parent}
    scored = disbench.score(tmp_path / "pair.pt", **options, metrics="mig_chen:fast")
    assert scored.scores[0].kl == pytest.approx(KL, rel=1e-4)
    assert scored["mig_chen"] > 0.9
