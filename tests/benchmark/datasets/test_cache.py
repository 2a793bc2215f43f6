"""The cache file: complete or absent, damage found, safe with several processes."""

import subprocess
import sys
import warnings

import h5py
import numpy as np
import pytest

from disbench import files
from disbench.benchmark.datasets import cache
from disbench.errors import UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (50, 1, 16, 16), dtype=np.uint8)


def content(pixels=PIXELS, **more):
    return cache.Content(PIXELS.shape, [pixels[:20], pixels[20:]], **more)


@pytest.fixture(params=["mapped", "compressed"])
def store(request):
    return request.param


def test_written_and_read_back(tmp_path, store):
    labels, factors = np.arange(50) % 5, np.arange(100).reshape(50, 2)
    path = tmp_path / "deep" / "x.h5"
    given = content(labels=labels, factors=factors, factor_names=("a", "b"))
    stored = cache.obtain(path, "r", lambda: given, store)
    with h5py.File(path) as file:
        assert np.array_equal(file["images"][:], PIXELS)
    assert np.array_equal(stored.labels, labels)
    assert np.array_equal(stored.factors, factors)
    assert stored.factor_names == ("a", "b")
    assert cache.verify(path).sha256 == stored.sha256
    assert [p.name for p in path.parent.iterdir() if p.suffix != ".lock"] == ["x.h5"]


def test_the_checksum_is_of_the_content_not_of_the_way_it_is_stored(tmp_path):
    for place in ("mapped", "compressed"):
        cache.write(tmp_path / place, "r", content(), place)
    assert cache.inspect(tmp_path / "mapped").sha256 == cache.inspect(tmp_path / "compressed").sha256
    cache.write(tmp_path / "labelled", "r", content(labels=np.zeros(50, int)))
    assert cache.inspect(tmp_path / "labelled").sha256 != cache.inspect(tmp_path / "mapped").sha256


def test_what_is_there_is_not_made_again(tmp_path):
    path = tmp_path / "x.h5"
    cache.obtain(path, "r", content)

    def never():
        raise AssertionError("made twice")

    cache.obtain(path, "r", never)


def damaged_cut(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)


def damaged_emptied(path):
    path.write_bytes(b"")


def damaged_foreign(path):
    path.write_bytes(b"not an HDF5 file at all" * 1000)


def damaged_other_hdf5(path):
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)


def damaged_version(path):
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 99


def damaged_recipe(path):
    with h5py.File(path, "r+") as file:
        file.attrs["recipe"] = "of another size"


def damaged_shape(path):
    with h5py.File(path, "r+") as file:
        del file["images"]
        file["images"] = np.zeros((50, 16), np.uint8)


DAMAGE = [damaged_cut, damaged_emptied, damaged_foreign, damaged_other_hdf5, damaged_version, damaged_recipe]
DAMAGE.append(damaged_shape)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_file_is_made_again(damage, tmp_path, store):
    path = tmp_path / "x.h5"
    before = cache.obtain(path, "r", content, store)
    damage(path)
    with pytest.raises(cache.UnusableError):
        cache.inspect(path, "r")
    with pytest.warns(UserWarning, match="making it again"):
        after = cache.obtain(path, "r", content, store)
    assert after == before or after.sha256 == before.sha256
    assert cache.verify(path).sha256 == before.sha256


def test_other_content_than_expected_is_never_kept(tmp_path):
    path = tmp_path / "x.h5"
    with pytest.raises(UsageError, match="expected 1111"):
        cache.obtain(path, "r", content, expected="1" * 64)
    assert not path.exists()
    right = cache.obtain(path, "r", lambda: content(PIXELS[::-1])).sha256
    cache.write(path, "r", content())
    with pytest.warns(UserWarning, match="expected"):
        assert cache.obtain(path, "r", lambda: content(PIXELS[::-1]), expected=right).sha256 == right


def test_one_wrong_byte_is_found_by_the_full_check_only(tmp_path):
    path = tmp_path / "x.h5"
    stored = cache.obtain(path, "r", content)
    with path.open("r+b") as file:
        file.seek(stored.offset + 1000)
        byte = file.read(1)[0]
        file.seek(stored.offset + 1000)
        file.write(bytes([byte ^ 1]))
    cache.inspect(path, "r")
    with pytest.raises(cache.UnusableError, match="sha256"):
        cache.verify(path)


def test_a_failure_half_way_leaves_nothing_and_keeps_the_old_file(tmp_path, store):
    path = tmp_path / "x.h5"
    before = cache.obtain(path, "r", content, store)

    def breaks_off():
        yield PIXELS[:20]
        raise UsageError("the source broke off")

    with pytest.raises(UsageError, match="broke off"):
        cache.write(path, "other", cache.Content(PIXELS.shape, breaks_off()), store)
    assert cache.verify(path).sha256 == before.sha256
    assert not [path for path in tmp_path.iterdir() if files.is_temporary(path)]


OTHERS = [PIXELS[:49], np.concatenate([PIXELS, PIXELS]), PIXELS[:, :, :8], PIXELS.astype(int)]


@pytest.mark.parametrize("pixels", OTHERS)
def test_other_images_than_announced_are_refused(pixels, tmp_path, store):
    with pytest.raises(UsageError, match="expected 50"):
        cache.write(tmp_path / "x.h5", "r", content(pixels), store)
    with pytest.raises(UsageError, match="49 labels"):
        cache.write(tmp_path / "x.h5", "r", content(labels=np.zeros(49, int)), store)
    assert not list(tmp_path.iterdir())


FULL_DISK = """
import resource, sys, numpy as np
from pathlib import Path
from disbench.benchmark.datasets import cache
from disbench.errors import UsageError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
pixels = np.random.default_rng(0).integers(0, 256, (200, 1, 64, 64), dtype=np.uint8)
try:
    cache.write(Path(sys.argv[1]), "r", cache.Content(pixels.shape, [pixels]), sys.argv[2])
except UsageError as error:
    print(error)
"""


def test_a_disk_that_fills_up_is_one_sentence_and_leaves_nothing(tmp_path, store):
    """A limit on the size of files stands in for the full disk; the write fails in the same place."""
    path = tmp_path / "x.h5"
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), store], capture_output=True, text=True, check=False
    )
    assert run.stdout.startswith(f"cannot write {path}"), run.stderr
    assert "DISBENCH_DATA" in run.stdout
    assert not list(tmp_path.iterdir())


def test_too_little_space_is_said_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(UsageError, match="0 MB free"):
        cache.write(tmp_path / "x.h5", "r", content())
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot make the data folder"):
        cache.obtain(tmp_path / "file" / "x.h5", "r", content)


ARRIVE = """
import sys, tempfile, numpy as np
from pathlib import Path
from disbench.benchmark.datasets import cache
def make():
    tempfile.mkstemp(dir=sys.argv[2])
    return cache.Content((50, 1, 16, 16), [np.zeros((50, 1, 16, 16), np.uint8)])
print(cache.obtain(Path(sys.argv[1]), "r", make).sha256)
"""


def test_processes_that_arrive_together_make_it_once(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    command = [sys.executable, "-c", ARRIVE, str(tmp_path / "x.h5"), str(marks)]
    together = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    digests = {process.communicate(timeout=60)[0].strip() for process in together}
    assert digests == {cache.verify(tmp_path / "x.h5").sha256}
    assert len(list(marks.iterdir())) == 1


def test_what_is_written_anew_does_not_disturb_readers(tmp_path):
    path = tmp_path / "x.h5"
    stored = cache.obtain(path, "r", content)
    held = np.memmap(path, np.uint8, "r", stored.offset, stored.shape)
    cache.write(path, "r", content(PIXELS[::-1]))
    assert np.array_equal(held, PIXELS)
    assert cache.verify(path).sha256 != stored.sha256


def test_a_leftover_of_a_killed_process_is_removed(tmp_path):
    leftover = tmp_path / ".x.h5.123-0123abcd"
    leftover.write_bytes(b"half")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.obtain(tmp_path / "x.h5", "r", content)
    assert not leftover.exists()


def test_where_data_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("DISBENCH_DATA", str(tmp_path / "variable"))
    assert cache.folder() == tmp_path / "variable"
    assert cache.folder(tmp_path / "argument") == tmp_path / "argument"
    monkeypatch.delenv("DISBENCH_DATA")
    assert cache.folder().name == "disbench"
