"""Our metrics beside the reference values of a folder.

    python tests/golden/compare.py [FOLDER] [--slow] [--markdown]

Prints one line per reference value (data set, metric, ours, theirs, tolerance), then the values left out and
why. Exit code 1 if a value is out of tolerance. `--slow` adds DCI on all rows and the entries of large grids.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from disbench import metrics
from disbench.metrics import voting
from disbench.metrics.factor_vae import stillest

HERE = Path(__file__).parent
DLIB, UBISOFT, HSU, IBGAN = (
    "google-research/disentanglement_lib",
    "ubisoft/ubisoft-laforge-disentanglement-metrics",
    "kylehkhsu/latent_quantization",
    "insujeon/IB-GAN",
)


class LeftOut(Exception):  # noqa: N818 - not an error but a reason
    """Why a reference value is not compared."""


# Of these, the mean of several draws is compared: a single one can lie further off than the spread of the
# peer's few seeds tells.
DRAWS = {"mig": 10, "irs": 10, "unsupervised": 10, "sap_continuous": 10}
MANY = 30  # draws of modularity, whose values lie far apart where codes are noisy


@dataclass
class Case:
    """One data set of the folder, read when asked for; `draw` numbers the rows that a protocol draws."""

    folder: Path
    name: str
    draw: int = 0

    @cached_property
    def file(self) -> Any:
        return np.load(self.folder / f"{self.name}.npz")

    @cached_property
    def base(self) -> Any:
        """The file that holds the factors: the data set's own or the grid it belongs to."""
        own = self.name.startswith(("c_", "b_sub"))
        return self.file if own else np.load(self.folder / "gridA.npz")

    @cached_property
    def linear(self) -> Any:
        return np.load(self.folder / "b_linear.npz") if self.name.startswith("b_linear:") else None

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(int(n) for n in (self.linear if self.linear is not None else self.base)["factor_sizes"])

    @cached_property
    def factors(self) -> Any:
        if self.linear is None:
            return self.base["factors"]
        grid = metrics.Grid(self.sizes)
        return grid.factors(np.arange(len(grid)))

    @cached_property
    def codes(self) -> Any:
        if self.linear is None:
            return self.file["codes"]
        n = np.array(self.sizes)
        standard = (self.factors - (n - 1) / 2) / np.sqrt((n**2 - 1) / 12)
        weights = self.linear["W_" + self.name.split(":")[1]]
        return (standard @ weights.T).astype(np.float32)

    @cached_property
    def split(self) -> tuple[Any, Any]:
        return self.base["train_idx"], self.base["test_idx"]

    @cached_property
    def kept(self) -> list[int]:
        return [k for k, n in enumerate(self.sizes) if n > 1]

    def drawn(self, train: int = 10_000, test: int = 5_000) -> tuple[Any, Any, tuple[Any, Any]]:
        """(codes, factors, split) of rows drawn with replacement, as the peers' protocol has it."""
        rows = np.random.default_rng(self.draw).integers(len(self.factors), size=train + test)
        return self.codes[rows], self.factors[rows], (np.arange(train), np.arange(train, train + test))


class Drawn(float):
    """The mean of `MANY` draws, with their standard deviation."""

    std: float

    def __new__(cls, mean: float, std: float) -> Drawn:
        drawn = super().__new__(cls, mean)
        drawn.std = float(std)
        return drawn


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def has_constant_factor(case: Case) -> bool:
    return len(case.kept) < len(case.sizes)


def table(case: Case, mode: str) -> tuple[Any, Any]:
    """Codes and factors: the whole table, or the protocol's 10,000 draws."""
    if mode == "fixed":
        return case.codes, case.factors
    codes, factors, (train, _) = case.drawn()
    return codes[train], factors[train]


def split_table(case: Case, mode: str) -> dict[str, Any]:
    if mode == "fixed":
        return {"codes": case.codes, "factors": case.factors, "split": case.split}
    codes, factors, split = case.drawn()
    return {"codes": codes, "factors": factors, "split": split}


def mig(case: Case, mode: str) -> dict[str, Any]:
    s = metrics.mig(*table(case, mode))
    return {
        "discrete_mig": s.score,
        "mi_matrix": s.parts["mutual_information"],
        "factor_entropy": s.parts["factor_entropy"],
    }


def modularity(case: Case, mode: str, preset: str = "dlib") -> Any:
    score = metrics.modularity(*table(case, mode), preset=preset).score
    # the peer divides the spill by the number of all other factors, the constant one included
    return 1 - (1 - score) * (len(case.kept) - 1) / (len(case.sizes) - 1)


def explicitness(case: Case, mode: str) -> dict[str, Any]:
    s = metrics.explicitness(**split_table(case, mode))
    return {
        "explicitness_score_test": s.score,
        "explicitness_score_train": s.parts["train"],
        "per_factor_test": s.parts["factors"],
    }


def modularity_explicitness(case: Case, mode: str) -> dict[str, Any]:
    if mode == "fixed":
        return {"modularity_score": modularity(case, mode), **explicitness(case, mode)}
    drawn = []
    for draw in range(MANY):
        again = copy(case)
        again.draw = draw
        drawn.append(modularity(again, mode))
    return {"modularity_score": Drawn(np.mean(drawn), np.std(drawn, ddof=1)), **explicitness(case, mode)}


def irs(case: Case, mode: str, **settings: Any) -> dict[str, Any]:
    s = metrics.irs(*table(case, mode), **settings)
    return {
        "IRS": s.score,
        "irs": s.score,
        "disentanglement_scores": s.parts["codes"],
        "parents": np.array(case.kept)[s.parts["parents"]],
    }


def unsupervised(case: Case, mode: str) -> dict[str, Any]:
    z = table(case, mode)[0]
    w = metrics.wasserstein_correlation(z).parts
    return {
        "gaussian_total_correlation": metrics.gaussian_total_correlation(z).score,
        "gaussian_wasserstein_correlation": w["distance"],
        "gaussian_wasserstein_correlation_norm": w["normalised"],
        "mutual_info_score": metrics.pairwise_mi(z).score,
    }


def sap(case: Case, mode: str, preset: str) -> dict[str, Any]:
    return {"SAP_score": metrics.sap(**split_table(case, mode), preset=preset).score}


def dci(case: Case, mode: str, rows: tuple[int | None, int | None] = (None, None)) -> dict[str, Any]:
    table = split_table(case, mode)
    train, test = table["split"]
    s = metrics.dci(table["codes"], table["factors"], rng=rng(), split=(train[: rows[0]], test[: rows[1]]))
    return {**s.parts, "importance_matrix": s.parts["importance"]}


def dci_lasso(case: Case, mode: str) -> dict[str, Any]:
    s = metrics.dci(case.codes, case.factors, rng=rng(), preset="ubisoft", n_jobs=1).parts
    # the peer counts a constant factor: entropies to another base, completeness 0, informativeness 1
    kept, given = len(case.kept), len(case.sizes)
    return {
        "disentanglement": 1 - (1 - s["disentanglement"]) * np.log(kept) / np.log(given),
        "completeness": s["completeness"] * kept / given,
        "informativeness": (s["informativeness_test"] * kept + given - kept) / given,
    }


def infomec(case: Case, mode: str, preset: str) -> dict[str, Any]:
    rows = slice(10_000 if case.name.startswith("b_sub") else None)
    s = metrics.infomec(case.codes[rows].astype(np.float64), case.factors[rows], rng=rng(), preset=preset)
    return {**s.parts, "active_latents": s.live}


def votes(case: Case, mode: str, metric: Callable[..., metrics.Score], **settings: Any) -> dict[str, Any]:
    s = metric(case.codes, case.sizes, rng=rng(), **settings)
    return {**s.parts, "score": s.score}


def factor_vae(case: Case, mode: str) -> dict[str, Any]:
    if has_constant_factor(case):
        raise LeftOut("the peer lets a factor of one value vote; ours drops it and scores 1")
    return votes(case, mode, metrics.factor_vae)


def factor_vae_noprune(case: Case, mode: str) -> dict[str, Any]:
    if not (case.codes.max(axis=0) > case.codes.min(axis=0)).all():
        raise LeftOut("the peer divides 0 by 0 for a constant code, which then wins every vote")
    return (
        factor_vae(case, mode)
        if has_constant_factor(case)
        else votes(case, mode, metrics.factor_vae, prune="none")
    )


def mig_chen(case: Case, mode: str) -> dict[str, Any]:
    if "codes_std" not in case.file:
        raise LeftOut("there is no posterior")
    logvar = 2 * np.log(case.file["codes_std"].astype(np.float64))
    s = metrics.mig_chen(case.codes.astype(np.float64), logvar, case.factors, rng=rng())
    return {"": s.score, "mi_matrix": s.parts["mutual_information"], "gap": s.parts["gap"]}


def stored_votes(case: Case, mode: str, prune: str) -> dict[str, Any]:
    stored = np.load(case.folder / "a_votes_800x200.npz")
    z = case.codes[stored["vote_rows"]].astype(np.float64)
    mean, within = voting.batch_moments(z)
    variance = voting.total_variance(mean, within, z.shape[1])
    live = voting.live_codes("factor_vae", variance, prune, 0.05, None)
    if prune == "none" and not live.all():
        raise LeftOut("the peer divides 0 by 0 for a constant code, which then wins every vote")
    winner = stillest(within, variance, live)
    grid = metrics.Grid(case.sizes)
    s = voting.majority(grid, winner, stored["vote_factor"], len(z), live, False, z.size, variance)
    return {"score": s.score, "decisions": s.parts["decision"]}


def downstream(case: Case, mode: str) -> dict[str, Any]:
    parts = metrics.downstream(**split_table(case, mode), rng=rng()).parts
    found = {}
    for side in ("train", "test"):
        accuracy = parts[f"{side}_accuracy"][0]
        found[f"1000:mean_{side}_accuracy"] = accuracy.mean()
        found[f"1000:min_{side}_accuracy"] = accuracy.min()
        found |= {f"1000:{side}_accuracy_factor_{k}": a for k, a in enumerate(accuracy)}
    return found


def udr(case: Case, mode: str, **settings: Any) -> dict[str, Any]:
    if settings == {"preset": "dlib_spearman", "filter_low_kl": False}:
        raise LeftOut("the peer returns 0 for every model as soon as one code is uninformative")
    s = metrics.udr(list(case.file["codes"]), kl=list(case.file["kl"]), **settings)
    return {"model_scores": s.parts["models"], "pairwise": s.parts["pairwise"]}


def mean_over_all_factors(case: Case, score: float) -> float:
    """The mean that counts a constant factor as 0, as the peer does."""
    return score * len(case.kept) / len(case.sizes)


def jemmig(case: Case, mode: str) -> dict[str, Any]:
    if has_constant_factor(case):
        raise LeftOut("the peer scores a factor of one value; ours drops it")
    return {"jemmig": metrics.jemmig(case.codes, case.factors, preset="ubisoft").score}


def z_diff(case: Case, mode: str) -> dict[str, Any]:
    if case.name == "a_random":
        raise LeftOut("one draw of the peer, three standard errors below chance, with a tolerance of one")
    return {"z_diff": votes(case, mode, metrics.beta_vae, preset="ubisoft")["score"]}


def clustering(folder: Path, dataset: str, metric: str) -> Any:
    file, name = np.load(folder / "clustering.npz"), dataset.split(":")[1]
    if f"{name}__labels" in file:
        t = metrics.ContingencyTable.from_labels(file[f"{name}__pred"], file[f"{name}__labels"])
    else:
        t = metrics.ContingencyTable(
            *(file[f"{name}__{part}"] for part in ("counts", "latent_prior", "class_prior"))
        )
    by_metric: dict[str, Callable[[], Any]] = {
        "ent": lambda: metrics.ent(t, empty="nan"),
        "ent_skip_empty": lambda: metrics.ent(t),
        "ent_rows": lambda: np.nanmean(metrics.ent(t).parts["latents"]),
        "ent_cols_nonempty": lambda: np.nanmean(metrics.ent(t).parts["classes"]),
        "nmi": lambda: metrics.nmi(t, average="arithmetic"),
        "ari": lambda: metrics.ari(t),
        "ami": lambda: metrics.ami(t),
        "accuracy_hungarian": lambda: metrics.hungarian_accuracy(t),
        "purity_majority": lambda: metrics.purity(t),
        "homogeneity": lambda: metrics.homogeneity(t),
        "completeness": lambda: metrics.completeness(t),
        **{
            f"nmi_{a}": lambda a=a: metrics.nmi(t, average=a)
            for a in ("arithmetic", "geometric", "min", "max")
        },
        **{
            f"rmse_{m}": lambda m=m: metrics.prior_rmse(t, match=m)
            for m in ("majority", "hungarian", "sorted")
        },
    }
    return float(by_metric[metric]()) if metric in by_metric else None


def whole(metric: str, preset: str = "ubisoft") -> Callable[[Case, str], dict[str, Any]]:
    return lambda case, mode: {metric: metrics.get(metric)(case.codes, case.factors, preset=preset).score}


Recipe = Callable[[Case, str], dict[str, Any]]
RECIPES: dict[tuple[str, str], Recipe] = {
    (DLIB, "mig"): mig,
    (DLIB, "modularity"): lambda case, mode: {"modularity_score": modularity(case, mode)},
    (DLIB, "explicitness"): explicitness,
    (DLIB, "modularity_explicitness"): modularity_explicitness,
    (DLIB, "irs"): irs,
    (DLIB, "irs_q99"): irs,
    (DLIB, "irs_q100"): lambda case, mode: irs(case, mode, quantile=1.0),
    (DLIB, "unsupervised"): unsupervised,
    (DLIB, "sap_continuous"): lambda case, mode: sap(case, mode, "dlib_continuous"),
    (DLIB, "sap_discrete"): lambda case, mode: sap(case, mode, "dlib"),
    (DLIB, "dci"): dci,
    (DLIB, "dci_train1500_test1000"): lambda case, mode: dci(case, mode, (1500, 1000)),
    (DLIB, "beta_vae"): lambda case, mode: votes(case, mode, metrics.beta_vae),
    (DLIB, "beta_vae_liblinear"): lambda case, mode: votes(
        case, mode, metrics.beta_vae, preset="dlib_liblinear"
    ),
    (DLIB, "factor_vae"): factor_vae,
    (DLIB, "factor_vae_noprune"): factor_vae_noprune,
    (DLIB, "downstream_lr_1000"): downstream,
    (DLIB, "udr_lasso_filterTrue"): udr,
    (DLIB, "udr_lasso_filterFalse"): lambda case, mode: udr(case, mode, filter_low_kl=False),
    (DLIB, "udr_spearman_filterTrue"): lambda case, mode: udr(case, mode, preset="dlib_spearman"),
    (DLIB, "udr_spearman_filterFalse"): lambda case, mode: udr(
        case, mode, preset="dlib_spearman", filter_low_kl=False
    ),
    (HSU, "infomec_continuous"): lambda case, mode: infomec(case, mode, "hsu2023"),
    (HSU, "infomec_discrete"): lambda case, mode: infomec(case, mode, "hsu2023_discrete"),
    (IBGAN, "factor_vae_varthr0.05"): lambda case, mode: stored_votes(case, mode, "var"),
    (IBGAN, "factor_vae_varthr0.0"): lambda case, mode: stored_votes(case, mode, "none"),
    (UBISOFT, "mig"): lambda case, mode: {
        "mig": mean_over_all_factors(case, metrics.mig(case.codes, case.factors, preset="ubisoft").score)
    },
    (UBISOFT, "mig_sup"): whole("mig_sup"),
    (UBISOFT, "dcimig"): whole("dcimig"),
    (UBISOFT, "jemmig"): jemmig,
    (UBISOFT, "modularity"): lambda case, mode: {"modularity": modularity(case, mode, "ubisoft")},
    (UBISOFT, "irs"): lambda case, mode: irs(case, mode, preset="ubisoft"),
    (UBISOFT, "sap_regression"): lambda case, mode: {
        "sap": mean_over_all_factors(case, metrics.sap(case.codes, case.factors, preset="ubisoft").score)
    },
    (UBISOFT, "explicitness"): whole("explicitness"),
    (UBISOFT, "dci_lasso"): dci_lasso,
    (UBISOFT, "z_min_var"): lambda case, mode: {
        "z_min_var": votes(case, mode, metrics.factor_vae, preset="ubisoft")["score"]
    },
    (UBISOFT, "z_diff"): z_diff,
    (UBISOFT, "z_max_var"): lambda case, mode: {
        "z_max_var": votes(case, mode, metrics.z_max_var, preset="ubisoft", batch=5)["score"]
    },
}


def is_slow(entry: dict[str, Any]) -> bool:
    """Entries that take many seconds: boosted trees, the large grid, and the classifiers of fresh draws."""
    metric, mode = entry["metric"], entry["mode"]
    return (
        entry["dataset"].startswith("b_linear")
        or metric in ("dci", "downstream_lr_1000", "z_diff", "beta_vae_liblinear")
        or (metric == "dci_train1500_test1000" and entry["dataset"] != "a_perfect")
        or (mode == "protocol" and metric in ("sap_discrete", "modularity_explicitness"))
    )


@dataclass
class Folder:
    """The references of one folder, and what we compute for them, each metric once per data set."""

    path: Path = HERE
    _found: dict[tuple[str, ...], Any] = field(default_factory=dict)
    _cases: dict[str, Case] = field(default_factory=dict)

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        return list(json.loads((self.path / "golden.json").read_text())["references"])

    def ours(self, entry: dict[str, Any]) -> Any:
        """Our value for a reference, a number or an array; raises `LeftOut` if there is none."""
        repo, metric, dataset = entry["repo"], entry["metric"], entry["dataset"]
        if entry.get("reference_raises"):
            raise LeftOut("the peer fails on this input")
        if entry.get("tolerance") is None:
            raise LeftOut("the peer returns nan")
        if dataset.startswith("clustering:"):
            value = clustering(self.path, dataset, metric)
            if value is None:
                raise LeftOut("not a metric of ours")
            return value
        recipe = mig_chen if metric == "mig_chen_estimator" else RECIPES.get((repo, metric))
        if recipe is None:
            raise LeftOut("not a metric of ours")
        case = self._cases.setdefault(dataset, Case(self.path, dataset))
        which = (repo, metric, dataset, entry["mode"])
        if which not in self._found:
            try:
                self._found[which] = _run(recipe, case, metric, entry["mode"])
            except LeftOut as reason:
                self._found[which] = reason
        found = self._found[which]
        if isinstance(found, LeftOut):
            raise found
        # "" is what a metric of one number answers to any name of it
        key = entry["key"] if entry["key"] in found else ""
        if key not in found:
            raise LeftOut("not a value of ours")
        value = found[key]
        if metric in ("irs_q99", "irs_q100") and np.ndim(value) and len(value) != len(entry["value"]):
            raise LeftOut("the peer keeps a constant code whose mean in single precision is not exact")
        return value

    @staticmethod
    def theirs(entry: dict[str, Any], like: Any) -> Any:
        """The reference value; without the constant factor's entries where ours has dropped them."""
        value = np.array(entry["value"] if "value" in entry else entry["mean"], dtype=float)
        if entry["metric"] == "mig" and value.shape != np.shape(like):
            value = np.delete(value, np.flatnonzero(_without_entropy(value)), axis=-1)
        return value


def _run(recipe: Recipe, case: Case, metric: str, mode: str) -> dict[str, Any]:
    if mode != "protocol" or metric not in DRAWS:
        return recipe(case, mode)
    runs = []
    for draw in range(DRAWS[metric]):
        again = copy(case)  # keeps what was read
        again.draw = draw
        runs.append(recipe(again, mode))
    return {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}


def _without_entropy(value: Any) -> Any:
    return (value == 0).all(axis=tuple(range(value.ndim - 1)))


@dataclass(frozen=True)
class Row:
    entry: dict[str, Any]
    ours: Any = None
    theirs: Any = None
    why_not: str = ""

    @property
    def difference(self) -> float:
        if np.shape(self.ours) != np.shape(self.theirs):
            return float("inf")
        return float(np.max(np.abs(np.asarray(self.ours, dtype=float) - self.theirs)))

    @property
    def tolerance(self) -> float:
        """That of the entry; where ours was drawn often, four standard errors of the difference at least."""
        known = float(self.entry["tolerance"])
        if not isinstance(self.ours, Drawn):
            return known
        return max(known, 4 * self.ours.std * (1 / self.entry.get("seeds", 1) + 1 / MANY) ** 0.5)

    @property
    def within(self) -> bool:
        return self.difference <= self.tolerance


def compare(folder: Folder, slow: bool) -> Iterator[Row]:
    for entry in folder.entries:
        if is_slow(entry) and not slow:
            yield Row(entry, why_not="slow; add --slow")
            continue
        try:
            ours = folder.ours(entry)
        except LeftOut as reason:
            yield Row(entry, why_not=str(reason))
        else:
            yield Row(entry, ours, folder.theirs(entry, ours))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=HERE)
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    left, right = ("| ", " |") if options.markdown else ("", "")
    between = " | " if options.markdown else "  "
    head = ("data set", "metric", "key", "mode", "ours", "reference", "difference", "tolerance", "")
    print(left + between.join(head) + right)
    if options.markdown:
        print("|" + "---|" * len(head))
    rows = []
    for row in compare(Folder(options.folder), options.slow):
        rows.append(row)
        if row.why_not:
            continue
        e = row.entry
        numbers = (np.mean(row.ours), np.mean(row.theirs), row.difference, row.tolerance)
        cells = (e["dataset"], e["metric"], str(e["key"]), e["mode"], *(f"{x:.6g}" for x in numbers))
        print(left + between.join((*cells, "" if row.within else "OUT OF TOLERANCE")) + right, flush=True)
    print()
    for row in rows:
        if row.why_not:
            e = row.entry
            print(f"left out: {e['dataset']} {e['metric']} {e['key']} ({e['mode']}): {row.why_not}")
    compared = [row for row in rows if not row.why_not]
    wrong = sum(not row.within for row in compared)
    print(f"\n{len(compared)} compared, {wrong} out of tolerance, {len(rows) - len(compared)} left out")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
