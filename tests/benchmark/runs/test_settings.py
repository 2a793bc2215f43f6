"""Scores against a setting: which dots a line may join."""

import pandas as pd

from disbench.benchmark.runs.settings import settings, swept, varying


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


def test_a_training_from_before_a_setting_has_the_value_that_changes_nothing(writer):
    for steps in (1, 2):
        writer.done(0, method="ibgan", g_steps=steps)
    writer.done(0, method="vae")
    configs = settings([writer.run])
    assert sorted(config.get("g_steps", 0) for config in configs.values()) == [0, 1, 2]
    assert varying(configs) == ["g_steps"]


def test_a_setting_that_no_training_has_is_in_no_table(writer):
    writer.done(0, method="ibgan")
    (config,) = settings([writer.run]).values()
    assert not {"g_steps", "d_steps"} & set(config)
