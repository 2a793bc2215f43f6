"""Scores against a setting: which dots a line may join."""

import pandas as pd

from disbench.benchmark.runs.settings import swept


def rows(configs):
    return pd.DataFrame(
        {
            "dataset": "d-32",
            "protocol": "mini",
            "method": [label for label, _ in configs],
            "variant": "",
            "settings": [str(config) for config in configs.values()],
            "cell": [cell for _, cell in configs],
            "plugin": "",
            "score": 0.5,
        }
    )


def drawn(configs, field):
    frame, _ = swept(rows(configs), configs, field)
    return list(zip(frame["name"], frame["value"], frame["joined"], strict=True))


def test_a_grid_has_a_line_for_each_combination_of_the_other_settings():
    configs = {
        ("vae", f"{lr}{beta}"): {"beta": beta, "lr": lr, "steps": 60} for lr in (1, 2) for beta in (1, 4)
    }
    assert drawn(configs, "beta") == [
        ("vae (lr=1)", 1, True),
        ("vae (lr=1)", 4, True),
        ("vae (lr=2)", 1, True),
        ("vae (lr=2)", 4, True),
    ]


def test_settings_drawn_at_random_have_no_line_and_one_name():
    """Also where two of them happen to share a value; and another method's grid keeps its line."""
    random = {("gan", f"g{i}"): {"lr": 0.1 * i, "width": 3 * i, "steps": 1 + i % 2} for i in range(3)}
    grid = {("vae", f"v{lr}"): {"lr": lr, "steps": 60} for lr in (1, 2)}
    assert [one[::2] for one in drawn({**random, **grid}, "lr")] == [("gan", False)] * 3 + [("vae", True)] * 2
    assert [name for name, *_ in drawn(random, "steps")] == ["gan"] * 3
