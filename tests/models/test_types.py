"""The type checker finds a misspelt setting: in a regulariser of the VAE, and in a whole method."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

METHODS = """
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from disbench.models import DataInfo, Method, Terms, method, vae


@dataclass(frozen=True)
class Config(vae.Config):
    lamda: float = 1.0


class Regulariser(vae.VAE):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {"paper": Config(), "mini": Config(**vae.MINI)}

    def penalty(self, z: Tensor, mu: Tensor, logvar: Tensor, step: Tensor) -> Terms:
        return {"tc": self.config.lamda * mu.sum()}


@dataclass(frozen=True)
class Own(method.Config):
    lamda: float = 1.0


class Whole(Method):
    config: Own
    CONFIGS: ClassVar[Mapping[str, Own]] = {"paper": Own(), "mini": Own()}

    def __init__(self, config: Own, data: DataInfo) -> None:
        super().__init__(config, data)
        self.weight = config.lamda
"""


def test_a_setting_that_a_method_reads_is_one_of_its_config(tmp_path):
    """Both files in one call of mypy, with the settings and the cache of this checkout: it takes seconds."""
    files = {"right.py": METHODS, "misspelt.py": METHODS.replace("config.lamda", "config.lambda_")}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml"]
    command += [tmp_path / name for name in files]
    told = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT).stdout
    assert "2 source files" in told
    # what it says of disbench itself is of the versions that it stands on
    assert "right.py" not in told
    assert told.count('has no attribute "lambda_"') == 2
