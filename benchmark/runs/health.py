"""What is wrong with a trained model, in words: from its last logged values and its scores.

| verdict | rule |
|---|---|
| the code is ignored | L_I is below a tenth of the entropy of the categorical code |
| a bottleneck is closed | the upper bound of the information of all codes is below .1 nats |
| codes have collapsed | their KL, of the scores or else as logged, is below .1 nats |
| a categorical latent has collapsed | its KL, as logged, is below .1 nats |
| a metric sees no code | none of the codes took part in a score |
| categories share a class | the frozen classifier reads two categories of generated images as one class |
| an image is known by heart | D rates images of the training .2 above unseen ones |

They say nothing about disentanglement: a model without a verdict may score badly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.files import LARGEST, parse_json

IGNORED = 0.1  # share of an entropy
# Nats of a live code, as `metrics.live` has it; not from there, so that reading scores loads no metric.
KL = 0.1
APART = 0.2  # of D's ratings
TAILS = (4_096, 65_536)  # bytes that hold the last line of a journal: of nearly every one, and of any


def last_line(journal: Path) -> dict[str, object]:
    """The terms and monitored values of the last whole line of a metrics.jsonl; {} if there is none."""
    if journal.is_symlink() or not journal.is_file():
        return {}
    for tail in TAILS:
        try:
            with open(journal, "rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - tail))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return {}
        for text in reversed(lines):
            line = parse_json(text)
            if isinstance(line, dict):
                parts = [line.get(name) for name in ("terms", "monitor")]
                return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}
    return {}


def verdicts(logged: Mapping[str, object], entries: Sequence[ScoreEntry]) -> list[str]:
    """Sentences about one model; none if nothing is wrong that could be seen.

    Args:
        logged: its last logged values, see `last_line`.
        entries: its scores.
    """
    found = []
    known, entropies = _numbers(logged.get("L_I_categorical")), _numbers(logged.get("H_categorical"))
    # a journal that is not of ours may have one of them alone
    pairs = zip(known, entropies, strict=True) if len(known) == len(entropies) else ()
    for place, (bound, entropy) in enumerate(pairs):
        if entropy > 0 and bound < IGNORED * entropy:
            which = f" {place}" if len(entropies) > 1 else ""
            # a bound may be negative
            found.append(f"categorical code{which} ignored: L_I {max(bound, 0):.2f} of {entropy:.2f} nats")
    upper = _numbers(logged.get("I_upper"))
    if upper and sum(upper) < KL:
        found.append(f"bottleneck closed: I is at most {sum(upper):.2f} nats")
    kl = next((_numbers(entry.kl) for entry in entries if entry.kl is not None), None)
    kl = _numbers(logged.get("kl_per_latent")) if kl is None else kl
    dead = sum(each < KL for each in kl)
    if dead:
        found.append(f"{dead} of {len(kl)} codes have collapsed: KL below {KL:g} nats")
    discrete = _numbers(logged.get("kl_per_discrete"))
    for place, value in enumerate(discrete):
        if value < KL:
            which = f" {place}" if len(discrete) > 1 else ""
            found.append(f"categorical latent{which} has collapsed: KL {value:.2f} nats")
    for entry in entries:
        if entry.live is not None and not any(entry.live):
            side = " of the generator" if entry.pictures else ""
            found.append(f"{entry.metric}:{entry.preset}{side} sees no code")
    found += _shared(entries)
    trained, unseen = _numbers(logged.get("d_real")), _numbers(logged.get("d_unseen"))
    if trained and unseen and trained[0] - unseen[0] > APART:
        found.append(f"D rates images of the training {trained[0]:.2f} and unseen ones {unseen[0]:.2f}")
    return found


def _shared(entries: Sequence[ScoreEntry]) -> Iterable[str]:
    """Which categories are read as one class, where an entry knows it."""
    read = next((_numbers(e.parts["read_as"]) for e in entries if "read_as" in e.parts), [])
    for one, count in sorted(Counter(read).items()):
        if count > 1:
            yield f"{count} categories share class {one:.0f}"


def _numbers(value: object) -> list[float]:
    """One number or several, None in a list for infinity, which JSON does not have; [] for anything else."""
    several = value if isinstance(value, list | tuple) else [value] if value is not None else []
    numbers = []
    for each in several:
        if each is None:
            numbers.append(math.inf)
        elif isinstance(each, float) or (type(each) is int and abs(each) < LARGEST):
            numbers.append(float(each))
        else:
            return []
    return numbers
