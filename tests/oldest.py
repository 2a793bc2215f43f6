"""Prints the oldest packages that pyproject.toml allows, as constraints for pip. Used by `make oldest`."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BOUND = re.compile(r"([\w-]+)>=([\d.]+)")


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for text in sum(project["optional-dependencies"].values(), project["dependencies"]):
        # without a bound, any version does
        if bound := BOUND.match(re.sub(r"\[.*?\]", "", text)):
            print("{}=={}".format(*bound.groups()))


main()
