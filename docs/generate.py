"""Writes the pages that say what the code says: one per method and metric, the data sets, the protocols, the
command line. Called by mkdocs (`hooks` in mkdocs.yml); `pages()` alone gives all of them as Markdown."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import io
import re
import sys
import textwrap
import tokenize
import tomllib
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import formulas

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page
    from pandas import DataFrame

    from disbench.leaderboards.published import Number
    from disbench.metrics.registry import Metric

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# The grid of dSprites, on which the images that a metric asks for are counted.
GRID = (3, 6, 40, 32, 32)

TAKES = {
    "table": "codes (n, d) and factors (n, k) of any rows",
    "sampling": "codes of a complete factor grid, since it holds factors fixed, or of values that occur",
    "unsupervised": "codes (n, d) alone",
    "posterior": "mean and log-variance (n, d) of the encoder's Gaussian, and factors (n, k)",
    "models": "several trainings: their codes of the same rows, or their encoders and generators",
    "clustering": "a table of counts: generated images of each latent category by the class of a classifier",
    "reconstruction": "images, and what a decoder makes of their codes",
    "pictures": "what an oracle reads in the pictures of a generator",
}
# The metrics by the question that each answers first, in the order in which people ask.
QUESTIONS = {
    "Is each factor in one code?": ["mig", "mig_chen", "sap", "jemmig", "dcimig", "mcc", "aam"],
    "Does each code hold one factor?": ["dci", "mig_sup", "modularity", "irs", "infomec", "dci_es"],
    "What happens when a factor is held or changed?": ["factor_vae", "beta_vae", "z_max_var"],
    "Are the factors in the codes at all?": ["explicitness", "linear_r2", "downstream"],
    "Do categories find the classes?": [
        "nmi",
        "ent",
        "prior_rmse",
        "hungarian_accuracy",
        "purity",
        "ami",
        "ari",
        "homogeneity",
        "completeness",
    ],
    "What can be said without labels?": [
        "udr",
        "model_centrality",
        "reconstruction",
        "active_units",
        "gaussian_total_correlation",
        "wasserstein_correlation",
        "pairwise_mi",
    ],
    "How good are the pictures?": ["sample_quality"],
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.nav = [_expanded(entry) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    from mkdocs.structure.files import File

    contents: dict[str, str | bytes] = {**pages(), **pictures()}
    for path, content in contents.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return filled(markdown)


def filled(text: str) -> str:
    """A page with its `<!-- table: NAME -->` and `<!-- file: PATH -->` lines replaced."""

    def quoted(line: re.Match[str]) -> str:
        path = ROOT / line[1]
        kind = {".py": "python", ".toml": "toml"}[path.suffix]
        return f'```{kind} title="{line[1]}"\n{path.read_text("utf-8")}```'

    text = re.sub(r"^<!-- file: (\S+) -->$", quoted, text, flags=re.MULTILINE)
    text = re.sub(r"^<!-- result: (\S+) -->$", lambda line: wide_result(line[1]), text, flags=re.MULTILINE)
    return re.sub(r"^<!-- table: (\w+) -->$", lambda line: measured(line[1]), text, flags=re.MULTILINE)


def wide_result(name: str) -> str:
    """A saved result as papers print it."""
    from disbench.leaderboards import results

    lines = results.readme([name]).splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def measured(name: str) -> str:
    """A table of docs/measured.toml, which docs/measure.py writes."""
    known = tomllib.loads((HERE / "measured.toml").read_text("utf-8"))
    if name == "scores":
        scores = known["scores"]
        columns = list(next(iter(scores.values())))
        rows = [[what, *(f"{values[c]:.2f}" for c in columns)] for what, values in scores.items()]
        return table(["codes", *(f"`{c}`" for c in columns)], rows)
    head = ["bins", "rows", "perfect", "one stray row", "the same, bins of equal frequency", "noise"]
    return table(
        head, [[row[0], f"{row[1]:,}", *(f"{v:.3f}" for v in row[2:])] for row in known["mig"]["rows"]]
    )


def _expanded(entry: object) -> object:
    """A nav entry with its `generated: KIND` lines replaced."""
    if not isinstance(entry, dict):
        return entry
    ((title, inside),) = entry.items()
    if not isinstance(inside, list):
        return entry
    parts: list[object] = []
    for part in inside:
        if isinstance(part, dict) and "generated" in part:
            parts += _nav(part["generated"])
        else:
            parts.append(_expanded(part))
    return {title: parts}


def _nav(kind: str) -> list[dict[str, object]]:
    if kind == "methods":
        return [{title(_method_module(name)): f"methods/{name}.md"} for name in method_names()]
    return [
        {question: [{name: f"metrics/{name}.md"} for name in names]} for question, names in QUESTIONS.items()
    ]


def method_names() -> list[str]:
    from disbench.models import registry

    return list(registry.built_in())


def metric_names() -> list[str]:
    from disbench.metrics import registry

    return list(registry.built_in())


def pages() -> dict[str, str]:
    """Path below docs/ and content of every generated page."""
    return {
        "methods/index.md": methods_index(),
        **{f"methods/{name}.md": method_page(name) for name in method_names()},
        "metrics/index.md": metrics_index(),
        **{f"metrics/{name}.md": metric_page(name) for name in metric_names()},
        "datasets.md": datasets_page(),
        "protocols.md": protocols_page(),
        "cli.md": cli_page(),
        "results.md": results_page(),
    }


# Pictures beside the saved results, which findings.md shows.
FIGURES = (
    "plateau-against-steps",
    "ibgan-bounds",
    "infogan-mnist-information",
    "mini-tuned-settings",
    *(
        f"elastic-{data}-{name}"
        for data in ("mnist", "fashion")
        for name in ("uniform", "elastic", "jointvae")
    ),
)


def pictures() -> dict[str, bytes]:
    """Path below docs/ and content of the pictures of the saved results."""
    from disbench.leaderboards import results

    paths = {name: results.FOLDER / name / results.PICTURE for name in results.names()}
    paths |= {f"{name}-learned": learned(name)[0] for name in method_names()}
    paths |= {name: results.FOLDER / f"{name}.png" for name in FIGURES}
    kept = {f"results/{name}.png": path.read_bytes() for name, path in paths.items() if path.is_file()}
    return {**kept, **both_sides(), **certainty()}


def both_sides() -> dict[str, bytes]:
    """Of each saved result with scores of encoder and generator, one against the other."""
    from disbench.leaderboards import plots, results, sides

    frames = {name: _kept(name)[0] for name in results.names()}
    return {
        f"results/{name}-sides.png": plots.render(plots.two_sides(frame), "png")
        for name, frame in frames.items()
        if not sides.paired(frame).empty
    }


def certainty() -> dict[str, bytes]:
    """The pictures of what-a-score-means.md, from docs/measured.toml."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure

    from disbench.leaderboards.plots.figure import COLOURS, GRID, INK, QUIET, STYLE, render

    known = tomllib.loads((HERE / "measured.toml").read_text("utf-8"))["certainty"]
    places = np.arange(len(known))

    def column(name: str) -> list[float]:
        return [values[name] for values in known.values()]

    def picture(axis: Any, figure: Figure, label: str) -> bytes:
        axis.set_yticks(places, list(known))
        axis.tick_params(axis="y", length=0)
        axis.set_ylim(len(known) - 0.5, -0.5)
        axis.grid(axis="x")
        axis.set_xlabel(label)
        figure.legend(loc="outside upper left", ncols=4)
        return render(figure, "png")

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axis = figure.subplots()
        fresh = [max(float(np.std(values["fresh"], ddof=1)), 1e-5) for values in known.values()]
        told = [max(spread, 1e-5) for spread in column("spread")]
        axis.hlines(places, np.minimum(fresh, told), np.maximum(fresh, told), color=QUIET)
        axis.plot(fresh, places, "o", color=COLOURS[0], label="of 20 fresh draws")
        axis.plot(told, places, "D", color=COLOURS[1], label="told beside one score")
        axis.set_xscale("log")
        axis.set_xlim(7e-6, 0.03)
        axis.set_xticks([1e-5, 1e-4, 1e-3, 1e-2], ["0", "0.0001", "0.001", "0.01"])
        spread = picture(axis, figure, "standard deviation over draws, on a scale of logarithms")
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axis = figure.subplots()
        axis.hlines(places, column("chance"), column("score"), color=GRID, linewidth=3)
        axis.plot(column("chance"), places, "|", color=INK, markersize=12, label="by chance")
        axis.plot(column("noise"), places, "o", color=COLOURS[0], fillstyle="none", label="noise")
        axis.plot(column("score"), places, "o", color=COLOURS[0], label="blurred codes")
        axis.axvline(1, color=QUIET, linestyle="--", linewidth=1, label="perfect")
        chance = picture(axis, figure, "score")
    return {"spread.png": spread, "chance.png": chance}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        lines.append("| " + " | ".join(cell_of(value) for value in row) + " |")
    return "\n".join(lines) + "\n"


def cell_of(value: object) -> str:
    """A table's cell: bars are escaped, but not in code, where Markdown would show the backslash."""
    parts = str(value).split("`")
    return "`".join(part if i % 2 else part.replace("|", "\\|") for i, part in enumerate(parts))


def shown(value: object) -> str:
    """A setting as it would be typed."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1_000:
        return f"{value:,}"
    return str(value)


def doc(module: object) -> str:
    return inspect.getdoc(module) or ""


def title(module: ModuleType) -> str:
    return doc(module).partition(":")[0]


def prose(text: str) -> str:
    """A docstring as Markdown: deviations under a heading of their own, links for papers and our modules."""
    parts = []
    for part in text.strip("\n").split("\n\n"):
        if re.match(r'"\w+"\s', part):  # a list of named things
            items = re.split(r'^(?=")', part, flags=re.MULTILINE)
            lines = [re.sub(r"\s*\n\s*", " ", item).strip() for item in items if item.strip()]
            part = "\n".join(re.sub(r'^"(\w+)"\s+', r"- **\1**: ", line) for line in lines)
        if part.startswith("Deviations:"):
            rest = part.removeprefix("Deviations:").strip()
            part = "## Deviations\n\n" + rest[0].upper() + rest[1:]
        # a formula is HTML already
        if not part.startswith("<"):
            part = symbols(part) if part.startswith("    ") else linked(part)
        parts.append(part)
    return "\n\n".join(parts) + "\n"


def symbols(block: str) -> str:
    """A docstring's table of symbols as a real one; any other indented block as it is."""
    lines = textwrap.dedent(block).splitlines()
    starts = [word.start() for word in re.finditer(r"(?<!\S)\w", lines[0])]
    aligned = all(line[at - 1 : at] in ("", " ") for line in lines for at in starts[1:])
    if not re.match(r"(paper|symbol)\s+here", lines[0]) or not aligned:
        return block
    ends = [*starts[1:], None]
    cells = [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in lines]
    rows = [[*(f"`{c}`" if c else "" for c in row[:-1]), row[-1]] for row in cells[1:]]
    return table(cells[0], rows)


def linked(text: str) -> str:
    return re.sub(r"arXiv:(\d{4}\.\d{5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


# Methods


def _method_module(name: str) -> ModuleType:
    from disbench import models

    return sys.modules[models.get(name).__module__]


def comments(kind: type) -> dict[str, str]:
    """The end-of-line comment of each field of a data class, those it inherits included."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        source = textwrap.dedent(inspect.getsource(base))
        words = tokenize.generate_tokens(io.StringIO(source).readline)
        by_line = {t.start[0]: t.string.lstrip("# ") for t in words if t.type == tokenize.COMMENT}
        (body,) = ast.parse(source).body
        assert isinstance(body, ast.ClassDef)
        for node in body.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                texts[node.target.id] = by_line.get(node.end_lineno or 0, "")
    return texts


def allowed(kind: type) -> dict[str, str]:
    """The values that each setting of a method may take, in words."""
    from disbench import ranges

    found, declared = {}, ranges.declared(kind)
    for field, hint in typing.get_type_hints(kind).items():
        several = typing.get_origin(hint) is tuple
        if hint is bool:
            found[field] = "true, false"
        elif typing.get_origin(hint) is typing.Literal:
            found[field] = ", ".join(map(str, typing.get_args(hint)))
        else:
            found[field] = f"{'each ' if several else ''}{declared[field]}" if field in declared else "–"
    return found


def methods_index() -> str:
    rows = []
    for name in method_names():
        head = re.split(r"\n\s*\n", doc(_method_module(name)))[0]
        paper = " ".join(head.partition(":")[2].split())
        rows.append([f"[{title(_method_module(name))}]({name}.md)", f"`{name}`", linked(paper)])
    return (
        "# Methods\n\nEach method is one file, written to be read beside its paper: the objective in the "
        "paper's symbols, one named term of the loss per term of the equation, each default with its source, "
        "and every deviation said. [Add your own](../howto/method.md).\n\n"
        + table(["method", "name", "paper"], rows)
    )


# Methods whose codes are categories alone.
CATEGORICAL = {"elastic_infogan": "elastic-mini"}


def learned(name: str) -> tuple[Path, str]:
    """Where the picture of what a method learned lies, if there is one, and what it shows."""
    from disbench.leaderboards import results

    if (protocol := CATEGORICAL.get(name)) is not None:
        told = f"Each row has samples of one category, of one seed under the protocol `{protocol}`."
        return results.FOLDER / f"{protocol}-categories.png", told
    told = "One code moves along each row, of one seed under the protocol `mini`, minutes on one core."
    return results.FOLDER / f"{name}-mini-traversal.png", told


def method_page(name: str) -> str:
    from disbench import models

    module, method = _method_module(name), models.get(name)
    paper = linked(" ".join(doc(module).partition("\n\n")[0].partition(":")[2].split()))
    objective = formulas.placed(of_method(name), formulas.known()["methods"].get(name, ()))
    text = [f"# {title(module)}\n", f"{paper}\n"]
    picture, told = learned(name)
    if picture.is_file():
        text.append(
            f"![What {title(module)} learned](../results/{name}-learned.png){{ width=420 }}\n\n*{told}*\n"
        )
    text += ["## Objective\n", prose(objective)]
    text.append("## Settings\n")
    text.append(
        f"Named configs of `{name}`; a protocol names one and may change it, and so does "
        f"`--set {name}.FIELD=VALUE`. The last column says where the default comes from.\n"
    )
    configs = method.CONFIGS
    kind = type(configs["paper"])
    known, permitted = comments(kind), allowed(kind)
    rows = []
    for field in dataclasses.fields(kind):
        values = [shown(getattr(config, field.name)) for config in configs.values()]
        marked = [value if value == values[0] else f"**{value}**" for value in values]
        note = linked(known.get(field.name, ""))
        rows.append([f"`{field.name}`", *marked, permitted[field.name], note])
    text.append(table(["setting", *configs, "allowed", "default: meaning and source"], rows))
    if kind.check is not models.Config.check:
        text.append(f"Between settings: {inspect.getdoc(kind.check)}\n")
    if method.VARIANTS:
        text.append("## Variants\n")
        text.append("`--variants NAME`, or `--variants all` for every one: the rows of one table.\n")
        changes = [
            [f"`{variant}`", ", ".join(f"`{k}={shown(v)}`" for k, v in changed.items()) or "as above"]
            for variant, changed in method.VARIANTS.items()
        ]
        text.append(table(["variant", "changes"], changes))
    text.append(numbers(name))
    source = Path(str(module.__file__)).read_text("utf-8")
    text.append(f'## The whole file\n\n??? quote "models/{name}.py"\n')
    text.append(textwrap.indent(f"```python\n{source}```\n", "    "))
    return "\n".join(text)


def of_method(name: str) -> str:
    """A method's docstring after its citation: the objective, the symbols and the deviations."""
    return doc(_method_module(name)).partition("\n\n")[2]


def numbers(name: str) -> str:
    """Published numbers and ours, metric by metric."""
    from disbench.leaderboards import published, results

    known = [
        _printed(number)
        for source in published.names()
        for number in published.get(source)
        if number.method == name
    ]
    for result in results.names():
        _, board = _kept(result)
        for _, row in board[board["method"] == name].iterrows():
            ours = f"**{row['mean']:.3f}±{row['std']:.3f}**"
            cells = ["ours", ours, "mean, standard deviation", row["n"], row["dataset"]]
            label = f"{row['variant']} {row['settings']}".strip()
            known.append(
                [row["metric"], *cells, f"`{row['preset']}`", f"{result}: {row['protocol']}, {label}"]
            )
    text = "## Numbers\n\n"
    if not known:
        return text + "No published number whose source we have seen, and none of ours is saved yet.\n"
    rows = [[f"[`{metric}`](../metrics/{metric}.md)", *rest] for metric, *rest in sorted(known, key=str)]
    return (
        text
        + "Two numbers are comparable only if data set, size and preset agree. `disbench table` prints the "
        "papers' tables with ours beside them.\n\n"
        + table(["metric", "whose", "number", "what", "n", "data set", "preset", "where"], rows)
    )


def _printed(number: Number) -> list[object]:
    """The cells of a published number."""
    kind = {"sd": "standard deviation", "se": "standard error"}.get(str(number.spread_kind))
    what = number.statistic if number.spread is None or kind is None else f"mean, {kind}"
    paper = f"[{number.authors}, {number.venue}]({number.link})"
    paper += f" ({number.reported})" if number.reported else ""
    preset = f"`{number.preset}`" if number.preset else "not stated"
    data = f"{number.dataset}-{number.size}"
    cells = ["paper", number.printed, what, number.n or "–", data, preset]
    return [number.metric, *cells, f"{paper}: {number.table}, {number.row}"]


# Metrics


SECTIONS = ("Variants", "Traps", "Args", "Raises", "Examples")


def sections(text: str) -> dict[str, str]:
    """A docstring's named sections; the text before them has the name "".

    A section begins with its name and a colon on a line of their own.
    """
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", text, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def related(text: str, name: str) -> str:
    """A metric's text with links to the other metrics, papers and pages that it names."""
    others = set(metric_names()) - {name}
    text = re.sub(
        r"`(\w+)`", lambda word: f"[{word[0]}]({word[1]}.md)" if word[1] in others else word[0], text
    )
    return re.sub(r"docs/([\w/-]+)\.md", r"[docs/\1.md](../\1.md)", text)


def costs() -> Mapping[str, Any]:
    return tomllib.loads((HERE / "metric-costs.toml").read_text("utf-8"))


def metrics_index() -> str:
    from disbench import metrics

    text = [
        "# Metrics\n\nPure functions of arrays. Each score carries its settings, its preset's name, what "
        "was dropped and any warning. If you do not know which to use, read [which metric should I trust]"
        "(../which-metric.md) first. Most can be asked of an encoder and, with `@generator`, [of a generator]"
        "(../generator.md).\n"
    ]
    for question, names in QUESTIONS.items():
        rows = []
        for name in names:
            metric = metrics.get(name)
            best = "high" if metric.higher_is_better else "low"
            rows.append([f"[`{name}`]({name}.md)", best, metric.chance or "–", metric.kind, metric.summary])
        text.append(f"## {question}\n")
        text.append(table(["metric", "good is", "chance", "kind", "what it is"], rows))
    text.append("## What each kind takes\n")
    text.append(table(["kind", "takes"], [[kind, takes] for kind, takes in TAKES.items()]))
    return "\n".join(text)


def metric_page(name: str) -> str:
    from disbench import metrics
    from disbench.metrics.registry import OF_CODES

    metric = metrics.get(name)
    module = sys.modules[metric.fn.__module__]
    cost = costs()["cpu_seconds"].get(name)
    facts = [
        ["name", f"`{name}`"],
        ["takes", TAKES[metric.kind]],
        ["good is", "high" if metric.higher_is_better else "low"],
        ["score at chance", metric.chance or "has no fixed value: see the traps"],
        ["changes with", dependence(metric) if metric.kind in OF_CODES else "–"],
        ["continuous factors", of_numbers(metric)],
        ["paper", linked(metric.paper)],
        ["default preset", f"`{metric.default_preset}`"],
        ["images encoded", images(metric)],
        ["live codes", live(metric)],
        ["own cost", "–" if cost is None else f"{cost:g} CPU-s on 10 codes of dSprites' size"],
    ]
    of_file, of_function = sections(doc(module)), sections(doc(metric.fn))
    call = f"::: {metric.fn.__module__}.{name}\n"
    if shares_its_file(name):
        # Shown above already.
        call += "    options:\n      show_docstring_description: false\n"
    definition = formulas.placed(of_metric(name), formulas.known()["metrics"].get(name, ()))
    text = [f"# {name}\n", f"{metric.summary}\n", table(["", ""], facts), "## Definition\n"]
    text += [related(prose(definition), name), "## Presets\n", presets(metric)]
    for section in ("Variants", "Traps"):
        for described in (of_file, of_function):
            if section in described:
                text += [f"## {section}\n", related(prose(described[section]), name)]
    if "Examples" in of_file:
        text += ["## Example\n", prose(of_file["Examples"])]
    text += ["## Call\n", call]
    return "\n".join(text)


def of_metric(name: str) -> str:
    """The definition of a metric: its file's docstring up to the sections, that of its function before it
    where the file has several metrics."""
    from disbench import metrics

    function = metrics.get(name).fn
    of_file = sections(doc(sys.modules[function.__module__]))[""]
    own = sections(doc(function))[""].partition("\n")[2].strip() if shares_its_file(name) else ""
    return f"{own}\n\n{of_file}" if own else of_file


def shares_its_file(name: str) -> bool:
    from disbench import metrics

    files = [metrics.get(other).fn.__module__ for other in metric_names()]
    return files.count(metrics.get(name).fn.__module__) > 1


def dependence(metric: Metric) -> str:
    """Which changes of codes and factors change the score, in words."""
    if not metric.depends_on:
        return "none of the changes that should not matter"
    words = {
        "order": "the order of codes",
        "sign": "the sign of codes",
        "scale": "the scale of each code",
        "common scale": "the scale of all codes together",
        "origin": "the origin of codes",
        "values": "the numbers that stand for the factors' values",
    }
    return ", ".join(words[change] for change in metric.depends_on)


def of_numbers(metric: Metric) -> str:
    """Whether continuous factors are taken, and with which presets."""
    if metric.kind not in ("table", "posterior"):
        return "–"
    fits = [name for name, used in metric.presets.items() if not any(metric.needs_values(used, 1))]
    if not fits:
        return "no; they go into bins first, as with `disbench score --bins`"
    shown = ", ".join(f"`{name}`" for name in fits)
    return "yes" if len(fits) == len(metric.presets) else f"with the presets {shown}"


def live(metric: Metric) -> str:
    """Whether codes can be left out, and the presets that do so by their KL."""
    if not metric.takes_live:
        return "–"
    by_kl = [f"`{name}`" for name, used in metric.presets.items() if metric.asks_for_kl(used)]
    said = f"; by KL with {', '.join(by_kl)}" if by_kl else ""
    return f"takes `live`{said}: see [which codes count](../which-metric.md#which-codes-count)"


def images(metric: Metric) -> str:
    """How many images the default preset asks for, on dSprites' grid."""
    import numpy as np

    from disbench.benchmark.scoring.draws import PICTURES, TEST_ROWS, TRAIN_ROWS

    if metric.kind == "sampling":
        return f"{len(metric.rows(GRID, np.random.default_rng(0))):,} draws on dSprites, each image once"
    if metric.takes("generators"):
        return "by each of M models those of the M - 1 other generators, see the variants"
    if metric.kind in ("table", "unsupervised", "posterior"):
        return f"{TRAIN_ROWS + TEST_ROWS:,} rows"
    if metric.kind == "reconstruction":
        return f"{PICTURES:,} rows, and decoded again"
    made = ("clustering", "pictures")
    return "none: it looks at generated images" if metric.kind in made else "all that are given"


def presets(metric: Metric) -> str:
    names = list(metric.presets)
    first = metric.presets[metric.default_preset]
    if not first:
        return f"`{metric.default_preset}`, without settings.\n"
    rows = []
    for setting in first:
        values = [shown(metric.presets[preset][setting]) for preset in names]
        rows.append([f"`{setting}`", *(v if v == values[0] else f"**{v}**" for v in values)])
    return table(["setting", *names], rows)


# Results, data sets, protocols, the command line


def results_page() -> str:
    """Every saved leaderboard with its picture and its commands."""
    from disbench.leaderboards import explorer, results

    text = [
        "# Results\n\nEverything that we measured, favourable or not. Seeds, settings and provenance of each "
        "result are in `leaderboards/results/`; `disbench leaderboard RUN --keep NAME` saves a run there.\n"
    ]
    text.append(explorer.page_part(_kept_rows()))
    drawn = pictures()
    for name in results.names():
        folder, board = results.FOLDER / name, board_of(name)
        text.append(f"## {name}\n")
        if f"results/{name}.png" in drawn:
            text.append(f"![Every seed's scores](results/{name}.png)\n")
        if f"results/{name}-sides.png" in drawn:
            text.append(f"![The generator's scores against the encoder's](results/{name}-sides.png)\n")
        text += ["```sh", *results.provenance(folder).commands, "```\n", board + "\n"]
    text.append(
        "## Short checks\n\nHow every method learns on one core, with one seed each, and what does not work: "
        "`leaderboards/results/learning-checks.md`.\n"
    )
    return "\n".join(text)


def board_of(name: str) -> str:
    """The leaderboard of a saved result: every number, or a row for each of many settings."""
    from disbench.benchmark.runs import keep
    from disbench.leaderboards import results

    if len(set(_kept(name)[0]["name"])) > keep.MOST:
        said = f"Means; `leaderboards/results/{name}/leaderboard.md` has spread, chance and intervals."
        return f"{wide_result(name)}\n\n{said}"
    text = (results.FOLDER / name / "leaderboard.md").read_text("utf-8")
    return text.removeprefix(f"**{name}**").strip()


def _kept_rows() -> list[dict[str, object]]:
    """The rows of all saved results, and the published numbers beside them."""
    from disbench.leaderboards import explorer, results

    rows = [row for name in results.names() for row in explorer.board_rows(*_kept(name), name)]
    return rows + explorer.printed_rows(rows)


@functools.cache
def _kept(name: str) -> tuple[DataFrame, DataFrame]:
    """A saved result's scores and its leaderboard, both with the methods' names for people."""
    from disbench.leaderboards import aggregate, labels, results

    frame = results.scores(results.FOLDER / name)
    frame = frame.assign(name=labels.names(frame))
    board = aggregate.leaderboard(frame)
    return frame, board.assign(name=labels.names(board, of=frame))


def datasets_page() -> str:
    from disbench.benchmark.datasets import manifest

    facts = [manifest.read(name) for name in manifest.built_in()]
    rows = [
        [
            f"[`{m.name}`](#{m.name})",
            f"{m.count:,}" if m.count else "–",
            ", ".join(map(str, m.sizes)),
            m.channels,
            " x ".join(map(str, m.factors.values())) or (f"{len(m.classes)} classes" if m.classes else "–"),
            "made on first use"
            if not m.files
            else "fetched"
            if all(f.urls for f in m.files)
            else "your file",
        ]
        for m in facts
    ]
    text = [
        "# Data sets\n\nA data set is a manifest: the addresses of its files, their checksums, how they are "
        "read, and what the rows mean. `disbench data list` shows which are ready on this machine, `disbench "
        "data fetch NAME` downloads one, and any `.npz` with `images` and `labels` or `factors` is one too. "
        "[Bring your own](howto/metric-or-dataset.md).\n",
        table(["name", "images", "image size in pixels", "channels", "factors or classes", "source"], rows),
    ]
    for m in facts:
        text.append(f"## {m.name}\n\n{m.title}. {linked(m.paper)}.\n\n{m.notes.strip()}\n")
        if m.licence:
            text.append(f"Licence: {m.licence}.\n")
        if m.factors:
            text.append(table(["factor", "values"], m.factors.items()))
        elif m.classes:
            text.append(f"Classes: {', '.join(m.classes)}.\n")
        files = [
            [f"`{f.name}`", f"{f.bytes:,}" if f.bytes else "–", f"`{f.sha256[:16]}…`" if f.sha256 else "–"]
            for f in m.files
        ]
        if files:
            text.append(table(["file", "bytes", "SHA-256"], files))
    return "\n".join(text)


def protocols_page() -> str:
    from disbench.benchmark import protocols

    text = [
        "# Protocols\n\nA protocol fixes what must be equal for all rows of a leaderboard: data set, image "
        "size, networks, budget, and the metrics with their presets. `--protocol NAME` chooses one.\n\n"
        "A protocol has a version. `--protocol mini` takes the newest, `--protocol mini-v1` the first. "
        "Results carry the version (`mini-v1`), and a digest of all that decides the number: content of the "
        "data, nets, settings, and the settings and versions of the metrics. Numbers of different digests "
        "never share a row. A result under a bare `mini` is from before there were versions.\n"
    ]
    for name in protocols.names():
        p = protocols.get(name)
        size = f" at {p.size}x{p.size} pixels" if p.size else ""
        text.append(f"## {name}\n\nVersion {p.version}: {p.summary}.\n")
        if not p.meaningful:
            text.append("**Its scores mean nothing**, as every table of them says.\n")
        text.append(f"`{p.dataset}`{size}, each method's config `{p.config}`.\n")
        changes = [["every method", f"`{k}={shown(v)}`"] for k, v in p.every.items()]
        changes += [[f"`{m}`", f"`{k}={shown(v)}`"] for m, vs in p.methods.items() for k, v in vs.items()]
        if changes:
            text.append(table(["of", "changed setting"], changes))
        rows = [
            [
                f"[`{m.name}`](metrics/{m.name}.md)",
                f"`{m.preset}`",
                f"the generator, {m.pictures:,} pictures" if m.pictures else "the encoder",
                ", ".join(f"`{k}={shown(v)}`" for k, v in m.settings.items()) or "–",
            ]
            for m in p.metrics
        ]
        text.append(table(["metric", "preset", "of", "changed"], rows))
    return "\n".join(text)


def cli_page() -> str:
    import typer.main

    from disbench.benchmark.cli.main import app

    text = [
        "# Command line\n\nEvery command accepts `--help` and, repeatedly, `--plugin FILE.py`. A usage error "
        "is one sentence with exit code 2; a run exits with 0 only when every seed that it was asked for is "
        "done. `disbench --install-completion` completes commands and options in your shell.\n"
    ]
    text += _commands(typer.main.get_command(app), "disbench")
    return "\n".join(text)


def _commands(group: Any, path: str) -> list[str]:
    text = []
    for name, command in group.commands.items():
        full = f"{path} {name}"
        if hasattr(command, "commands"):
            text += _commands(command, full)
            continue
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and p.name != "plugin"]
        usage = " ".join([full, "[OPTIONS]" if options else "", *(_argument(p) for p in arguments)])
        text.append(f"## {full}\n\n{command.help}\n\n```text\n{' '.join(usage.split())}\n```\n")
        rows = [[f"`{(p.metavar or p.name).upper()}`", getattr(p, "help", "") or "", ""] for p in arguments]
        for p in options:
            names = ", ".join(f"`{o}`" for o in [*p.opts, *p.secondary_opts])
            rows.append([names, p.help or "", _default(p)])
        if rows:
            text.append(table(["option", "what it does", "default"], rows))
    return text


def _argument(p: Any) -> str:
    name = (p.metavar or p.name).upper() + ("..." if p.nargs == -1 else "")
    return name if p.required else f"[{name}]"


def _default(p: Any) -> str:
    if p.required:
        return "required"
    if p.default in (None, "", False, ()) or callable(p.default):
        return ""
    return f"`{p.default}`"
