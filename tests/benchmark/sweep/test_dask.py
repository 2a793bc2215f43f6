"""A sweep on a Dask cluster of real processes, which share no disk with it, equals one on this machine."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest
import torch

from disbench.benchmark import datasets, protocols
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Failure, Status
from disbench.benchmark.sweep import dask, plan, workers
from disbench.errors import UnfinishedError, UsageError
from disbench.files import read_json

distributed = pytest.importorskip("distributed", reason="needs the extra disbench[dask]")

STEPS = 100


@contextlib.contextmanager
def cluster(folder, *options, **common):
    """Address of a scheduler on a free port, and a function that gives it workers with data of their own."""
    started = []

    def start(*arguments, **environment):
        log = open(folder / f"log-{len(started)}", "wb")  # noqa: SIM115 - held by the process
        command = [sys.executable, "-m", *arguments, "--no-dashboard"]
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **common, **environment}
        )
        started.append(process)
        return process

    found = folder / "scheduler.json"
    start(
        *("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *options),
        *("--scheduler-file", str(found)),
    )

    def workers(number):
        """So many living workers; those that an earlier test left count."""
        living = [process for process in started[1:] if process.poll() is None]
        while len(living) < number:
            home = folder / f"worker-{len(started)}"
            (home / "tmp").mkdir(parents=True)
            living.append(
                start(
                    *("distributed.cli.dask_worker", "--scheduler-file", str(found), "--nthreads", "1"),
                    *("--no-nanny", "--local-directory", str(home)),
                    DISBENCH_DATA=str(home / "data"),
                    TMPDIR=str(home / "tmp"),
                )
            )
        return living

    try:
        deadline = time.monotonic() + 300
        while not found.exists() or not found.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield json.loads(found.read_text())["address"], workers
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("dask")) as made:
        yield made


@pytest.fixture(scope="module")
def planned(tmp_path_factory, tiny_grid):
    """Two methods, two seeds, quickly scored; and the folder of the same sweep on this machine."""
    folder = tmp_path_factory.mktemp("local")
    metric = MetricChoice(name="factor_vae", settings={"votes": 40, "eval_votes": 20}).resolved()
    setting = protocols.get("smoke").model_copy(update={"metrics": (metric,)})
    data = datasets.load(tiny_grid(folder / "grid.npz"), data_dir=folder / "data")
    changes = {name: {"steps": str(STEPS), "batch": "4"} for name in ("betavae", "infogan")}
    cells = plan.plan(setting, plan.entries(setting, list(changes), changes), [0, 1], [data])
    local = store.open_run(folder / "r")
    options = plan.Options(data_dir=folder / "data")
    assert {outcome for _, outcome in workers.sweep(local, cells, setting, options, 1)} == {"done"}
    return setting, cells, local


def assert_equal(cells, a, b):
    for cell in cells:
        one, other = (torch.load(r / cell.folder / "checkpoint.pt", weights_only=True) for r in (a, b))
        assert all(torch.equal(one["weights"][k], other["weights"][k]) for k in one["weights"])
        lines = [store.read_lines(r / cell.folder / "metrics.jsonl") for r in (a, b)]
        assert lines[0] == lines[1]
        scores = [json.loads((r / cell.folder / "scores.json").read_text()) for r in (a, b)]
        for entry in (*scores[0], *scores[1]):
            del entry["seconds"]
        assert scores[0] == scores[1]
        names = [sorted(p.name for p in (r / cell.folder).iterdir()) for r in (a, b)]
        assert names[0] == names[1]
        assert Status.read(b / cell.folder).state == "done"


def kill_one_at_work(run, workers, killed):
    """SIGKILL to the first worker that is seen training past step 5."""
    pids = {worker.pid: worker for worker in workers}
    deadline = time.monotonic() + 300
    while not killed and time.monotonic() < deadline:
        for path in run.glob("*/seed-*/status.json"):
            status = read_json(path) or {}
            if status.get("phase") == "training" and status.get("process") in pids and status["step"] > 5:
                os.kill(status["process"], signal.SIGKILL)
                killed.append(status["process"])
                return
        time.sleep(0.02)


def test_a_worker_dies_and_the_others_finish_its_seeds(scheduler, planned, tmp_path):
    address, workers = scheduler
    setting, cells, local = planned
    run, killed = store.open_run(tmp_path / "r"), []
    thread = threading.Thread(target=kill_one_at_work, args=(run, workers(3), killed))
    thread.start()
    outcomes = dict(dask.sweep(run, cells, setting, plan.Options(), address, fuse=0, seconds=1.0))
    thread.join()
    assert len(killed) == 1
    assert outcomes == dict.fromkeys(cells, "done"), [Status.read(run / cell.folder).why for cell in cells]
    assert_equal(cells, local, run)
    assert list(dask.sweep(run, cells, setting, plan.Options(), address)) == [(c, "done") for c in cells]


def test_a_sweep_that_is_stopped_goes_on_with_its_saved_state(scheduler, planned, tmp_path):
    address, workers = scheduler
    setting, cells, local = planned
    workers(1)
    run, stop = store.open_run(tmp_path / "r"), tmp_path / "stop"

    def stop_soon():
        while not any((read_json(p) or {}).get("step", 0) > 5 for p in run.glob("*/*/status.json")):
            time.sleep(0.02)
        stop.touch()

    thread = threading.Thread(target=stop_soon)
    thread.start()
    outcomes = dict(dask.sweep(run, cells, setting, plan.Options(stop_file=stop), address, seconds=100))
    thread.join()
    assert set(outcomes) == set(cells)
    assert "stopped" in outcomes.values()
    steps = [Status.read(run / cell.folder).step for cell in cells]
    assert 0 < max(steps) <= STEPS
    assert all(
        (run / c.folder / "state.pt").exists() for c, s in zip(cells, steps, strict=True) if 0 < s < STEPS
    )
    assert set(dict(dask.sweep(run, cells, setting, plan.Options(), address)).values()) == {"done"}
    assert_equal(cells, local, run)


def test_what_a_worker_cannot_do_fails_its_seed_with_the_reason(scheduler, planned, tmp_path):
    """Data that the worker has not; then, with data, the same seed again."""
    address, workers = scheduler
    setting, cells, local = planned
    workers(1)
    gone = dask.dataclasses.replace(cells[0].dataset, name=str(tmp_path / "gone.npz"))
    lost = dask.dataclasses.replace(cells[0], dataset=gone)
    run = store.open_run(tmp_path / "r")
    outcomes = dict(dask.sweep(run, [lost, cells[1]], setting, plan.Options(), address))
    assert outcomes == {lost: "failed", cells[1]: "done"}
    assert "gone.npz" in Status.read(run / lost.folder).error.message
    (tmp_path / "gone.npz").write_bytes((local.parent / "grid.npz").read_bytes())
    assert list(dask.sweep(run, [lost], setting, plan.Options(), address)) == [(lost, "failed")]
    again = plan.Options(retry_failed=True)
    assert list(dask.sweep(run, [lost], setting, again, address)) == [(lost, "done")]


@pytest.mark.parametrize(
    ("devices", "width"),
    [
        # their states travel together
        (["cuda:0"], 8),
        # each of twelve has a part of one of the two methods
        (["cuda:0"] * 12, 6),
        (["cpu"] * 4, 1),
        # the seeds of a group would wait for each other on a CPU
        (["cuda:0", "cpu"], 1),
        # one that has no such device refuses its tasks in a sentence
        ([UsageError("no GPU")], 1),
        ([], 1),
    ],
)
def test_how_many_seeds_train_together_is_for_the_devices_of_the_workers(planned, devices, width):
    _, cells, _ = planned
    many = [dataclasses.replace(cell, seed=seed) for cell in cells[:2] for seed in range(32)]
    assert dask.width_on(devices, many) == width


def test_a_worker_of_another_version(scheduler, planned, tmp_path, monkeypatch):
    """Nothing is sent to it; one that comes between two looks refuses the task itself."""
    address, workers = scheduler
    setting, cells, _ = planned
    workers(1)
    with distributed.Client(address) as client:
        client.wait_for_workers(1, timeout=300)
    monkeypatch.setattr(dask, "VERSION", "0.0.0")
    run = store.open_run(tmp_path / "r")
    with pytest.raises(
        UsageError, match=r"the worker tcp://.* has disbench .*, and this program has disbench 0"
    ):
        list(dask.sweep(run, cells[:1], setting, plan.Options(), address))
    assert list(store.cells(run)) == []
    monkeypatch.setattr(dask._Sweep, "check_workers", lambda self: None)
    assert list(dask.sweep(run, cells[:1], setting, plan.Options(), address)) == [(cells[0], "failed")]
    assert "this program has disbench 0.0.0" in Status.read(run / cells[0].folder).error.message
    missing = importlib.metadata.PackageNotFoundError("disbench")
    with pytest.raises(UsageError, match="the worker tcp://a:1 has no disbench"):
        dask.check_versions({"tcp://a:1": missing}, "0.1.0")


def test_a_worker_is_free_again_soon_after_the_program_that_used_it_is_gone(scheduler, planned, tmp_path):
    """Long before the end of the slice: nobody waits for its result."""
    address, workers = scheduler
    setting, cells, local = planned
    workers(1)
    run = store.open_run(tmp_path / "r")
    long = dask.dataclasses.replace(cells[0], config={**cells[0].config, "steps": 10**6})
    began = time.monotonic()
    with dask.connected(address) as client:
        gone = dask._Sweep(run, setting, plan.Options(), client, 0, 600.0)
        client.subscribe_topic(gone.name, lambda event: gone.news.put(event[1]))
        # whatever trains, all workers have one
        for seed in range(len(workers(1))):
            batch = dask.Batch([dask.dataclasses.replace(long, seed=seed)])
            assert list(gone.send(batch)) == []
        while Status.read(run / long.folder).phase != "training":
            gone.write_news()
            time.sleep(0.05)
            assert time.monotonic() < began + 300
    for batch in gone.sent.values():
        batch.locks.close()
    assert dict(dask.sweep(run, cells[:1], setting, plan.Options(), address)) == {cells[0]: "done"}
    assert time.monotonic() < began + 400
    assert_equal(cells[:1], local, run)


def test_workers_that_have_all_paused_are_told_once(monkeypatch, tmp_path):
    """A real worker pauses at a share of its memory that depends on the machine."""

    class Client:
        status = "running"

        def scheduler_info(self, n_workers):
            return {"workers": {"a": {"status": "paused"}, "b": {"status": self.status}}}

    client = Client()
    sweep = dask._Sweep(tmp_path, protocols.get("smoke"), plan.Options(), client, 0, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep.tell_paused()
        monkeypatch.setattr(dask, "QUIET", 0.0)
        sweep.tell_paused()
        client.status = "paused"
    with pytest.warns(UserWarning, match=r"all workers have paused.*a larger memory limit"):
        sweep.tell_paused()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep.tell_paused()


OF_TLS = [f"{side}.{what}" for side in ("scheduler", "worker", "client") for what in ("cert", "key")]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Dask's settings of an authority and of one certificate of it for 127.0.0.1, made by openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        ["req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority"],
        ["req", *new, "-keyout", "key.pem", "-out", "asked.pem", "-subj", "/CN=127.0.0.1"],
        ["x509", "-req", "-in", "asked.pem", *authority, "-extfile", "names", "-out", "cert.pem"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    files = {"cert": folder / "cert.pem", "key": folder / "key.pem"}
    settings = {name: str(files[name.split(".")[1]]) for name in OF_TLS}
    return {"ca-file": str(folder / "ca.pem"), **settings}


def test_a_cluster_with_tls(certificates, planned, tmp_path):
    """Certificates come from Dask's configuration; whoever has none, or speaks plainly, is refused."""
    from dask import config

    setting, cells, local = planned
    named = {f"distributed.comm.tls.{name}": value for name, value in certificates.items()}
    variables = {f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": named[name] for name in named}
    run = store.open_run(tmp_path / "r")
    with cluster(tmp_path, "--protocol", "tls", **variables) as (address, workers):
        assert address.startswith("tls://127.0.0.1:")
        workers(1)
        with config.set(named):
            outcomes = dict(dask.sweep(run, cells[:1], setting, plan.Options(), address))
        assert outcomes == {cells[0]: "done"}
        assert_equal(cells[:1], local, run)
        with pytest.raises(
            UsageError, match=r"needs certificates, and Dask's configuration has none.*none are set"
        ):
            list(dask.sweep(run, cells[1:], setting, plan.Options(), address))
        gone = {**named, "distributed.comm.tls.client.cert": str(tmp_path / "gone.pem")}
        with config.set(gone), pytest.raises(UsageError, match=r"has none that can be read .*No such file"):
            list(dask.sweep(run, cells[1:], setting, plan.Options(), address))
        plain = address.replace("tls:", "tcp:")
        with pytest.raises(UsageError, match="no Dask scheduler answers"):
            list(dask.sweep(run, cells[1:], setting, plan.Options(), plain))


def test_no_scheduler(disbench, tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "CONNECT_WITHIN", 0.5)
    arguments = ["run", "--methods", "betavae", "--protocol", "smoke", "--out", tmp_path / "r"]
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1"):
        code, _, err = disbench(*arguments, "--scheduler", address)
        assert code == 2
        assert "no Dask scheduler answers" in err
        assert len(err.strip().splitlines()) == 1
    for option, words in (
        (["--dry-run"], ["a forecast", "omit --scheduler"]),
        (["--max-memory", "6G"], ["--max-memory", "--scheduler", "--jobs"]),
    ):
        code, _, err = disbench(*arguments, "--scheduler", "tcp://127.0.0.1:9", *option)
        assert code == 2
        assert all(word in err for word in words)


def test_a_scheduler_that_dies_ends_the_sweep_in_a_sentence(tiny_grid, tmp_path):
    """It dies when it has all seeds; the run is then free for whoever repeats the command."""
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    found, run = tmp_path / "scheduler.json", tmp_path / "r"
    process = subprocess.Popen(
        [*command, "--no-dashboard", "--scheduler-file", found], stderr=subprocess.DEVNULL
    )

    def kill():
        deadline = time.monotonic() + 300
        while len(list(run.glob("*/*/cell.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.kill()

    thread = threading.Thread(target=kill)
    try:
        deadline = time.monotonic() + 300
        while not found.exists() or not found.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        address = json.loads(found.read_text())["address"]
        arguments = ["run", "--methods", "betavae", "--seeds", "2", "--protocol", "smoke", "--out", str(run)]
        arguments += ["--dataset", tiny_grid(tmp_path / "grid.npz"), "--scheduler", address]
        thread.start()
        # a process of its own, since distributed prints to the standard error that it was imported with
        program = [sys.executable, "-m", "disbench", *arguments]
        ended = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
        thread.join()
    finally:
        process.kill()
        process.wait()
    assert ended.returncode == 75, ended
    (sentence,) = ended.stderr.strip().splitlines()
    assert f"the connection to the Dask scheduler at {address} was lost" in sentence
    assert "repeat the command" in sentence
    assert "Traceback" not in ended.stdout
    for cell, folder in store.cells(run):
        with contextlib.ExitStack() as locks:
            assert locks.enter_context(store.hold(folder)), cell


def test_no_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r'pip install "disbench\[dask\]"'), dask.connected("tcp://x:1"):
        pass


def test_why_a_task_came_to_nothing():
    killed = dask.reason(distributed.KilledWorker("task", "worker", 3))
    assert killed.type == "WorkerDied"
    assert "out of memory?" in killed.message
    assert dask.reason(UsageError("no such device.")) == Failure("UsageError", "no such device.")
    assert "test_dask" in dask.reason(raised(KeyError("x"))).traceback
    # not a sentence about a folder of this machine: it arose elsewhere
    lost = dask.reason(raised(ConnectionResetError("the peer went")))
    assert (lost.type, lost.message) == ("ConnectionResetError", "the peer went")
    assert "test_dask" in lost.traceback


def raised(error):
    try:
        raise error
    except (KeyError, ConnectionResetError) as caught:
        return caught


def test_a_result_that_does_not_arrive_ends_in_a_sentence(monkeypatch):
    class Stuck:
        def result(self, timeout):
            raise TimeoutError(timeout)

    monkeypatch.setattr(dask, "FETCH_WITHIN", 90.0)
    with pytest.raises(UnfinishedError, match=r"did not arrive within 1\.5 minutes: .*its log says why"):
        dask.fetched(Stuck())


def test_files_that_travel(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    (here / "state.pt").write_bytes(b"old")
    (here / "scores.json").write_bytes(b"of a deleted checkpoint")
    (here / ".lock").touch()
    (there / "metrics.jsonl").write_bytes(b"{}\n")
    (there / "checkpoint.pt").write_bytes(b"new")
    (there / ".checkpoint.pt.1-00000000").write_bytes(b"half")
    dask.unpack(dask.pack(there), here)
    assert {path.name: path.read_bytes() for path in here.iterdir()} == {
        ".lock": b"",
        "metrics.jsonl": b"{}\n",
        "checkpoint.pt": b"new",
    }


def test_an_error_of_a_file_is_no_lost_scheduler():
    """Where connecting takes too long, distributed raises an OSError without a number."""
    assert dask.is_lost(OSError("Timed out trying to connect to tcp://10.0.0.1:8786 after 10 s"))
    assert dask.is_lost(ConnectionResetError(104, "reset"))
    assert not dask.is_lost(OSError(28, "No space left on device"))
    assert not dask.is_lost(FileNotFoundError("cell.json"))
