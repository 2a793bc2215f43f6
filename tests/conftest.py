"""What all tests share. The data cache is one folder for the whole test run, never the user's own."""

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def data_dir(tmp_path_factory, worker_id):
    """One folder for all workers of pytest-xdist, which share the parent of their temporary folders."""
    base = tmp_path_factory.getbasetemp()
    folder = Path(base.parent if worker_id != "master" else base) / "disbench-data"
    before = os.environ.get("DISBENCH_DATA")
    os.environ["DISBENCH_DATA"] = str(folder)
    yield folder
    if before is None:
        del os.environ["DISBENCH_DATA"]
    else:
        os.environ["DISBENCH_DATA"] = before
