"""Downloads from a server on this machine that delivers, redirects, cuts, corrupts, stalls and fails."""

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from disbench.benchmark.cli.main import option
from disbench.benchmark.datasets import fetching, manifest
from disbench.benchmark.datasets.manifest import File
from disbench.errors import UsageError

BODY = bytes(range(256)) * 400
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        if name == "missing":
            self.send_error(404)
            return
        if name == "redirect":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
            return
        body = BODY[:-1] + b"?" if name == "corrupt" else BODY
        self.send_response(200)
        if name != "cut-unannounced":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if name.startswith("cut"):
            self.wfile.write(body[:1000])
            return
        if name == "stall":
            self.wfile.write(body[:1000])
            self.wfile.flush()
            self.server.over.wait(10)
            return
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing on the terminal."""


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        running.over = threading.Event()
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.over.set()
        running.shutdown()
        thread.join()


def entry(*urls, **facts):
    return File(name="x.bin", urls=urls, **(facts or {"sha256": SHA256}))


def facts_of(*files):
    text = 'name = "toy"\ntitle = "T"\npaper = "P"\nchannels = 1\nsizes = [8]\nreader = { kind = "digits" }\n'
    return manifest.parse("toy", text).model_copy(update={"files": files})


def empty_but(folder, *names):
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) == sorted(names)


@pytest.mark.parametrize("where", ["good", "redirect"])
@pytest.mark.parametrize(
    "checksum", [{"sha256": SHA256}, {"md5": MD5}, {"bytes": len(BODY), "sha256": SHA256}]
)
def test_a_good_download(where, checksum, server, tmp_path):
    fetching.download(entry(f"{server}/{where}", **checksum), tmp_path / "deep" / "x.bin", say=list)
    assert (tmp_path / "deep" / "x.bin").read_bytes() == BODY
    assert empty_but(tmp_path, "x.bin")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("cut", "did not deliver"),
        ("cut-unannounced", "sha256"),
        ("corrupt", "sha256"),
        ("missing", "404"),
        ("stall", "did not deliver"),
    ],
)
def test_a_bad_download_is_named_and_leaves_the_old_file(where, message, server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.3)
    target = tmp_path / "x.bin"
    target.write_bytes(b"old")
    said = []
    with pytest.raises(UsageError, match=message) as caught:
        fetching.download(entry(f"{server}/{where}"), target, say=said.append)
    assert f"{server}/{where}" in str(caught.value)
    assert "--from FILE" in caught.value.told(option)
    assert not said  # the exception says it
    assert target.read_bytes() == b"old"
    assert empty_but(tmp_path, "x.bin")


def test_a_server_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="did not deliver"):
        fetching.download(entry("http://127.0.0.1:9/x"), tmp_path / "x.bin", say=list)
    assert empty_but(tmp_path)


def test_the_next_address_is_tried(server, tmp_path):
    said = []
    file = entry(f"{server}/missing", f"{server}/corrupt", f"{server}/cut", f"{server}/good")
    fetching.download(file, tmp_path / "x.bin", say=said.append)
    assert (tmp_path / "x.bin").read_bytes() == BODY
    assert len(said) == 3
    assert empty_but(tmp_path, "x.bin")


def test_too_little_space_is_said_before_the_download(server, tmp_path):
    with pytest.raises(UsageError, match="MB are needed"):
        fetching.download(entry(f"{server}/good", bytes=2**60, sha256=SHA256), tmp_path / "x.bin", say=list)


def test_what_is_here_is_not_downloaded_again_and_what_is_wrong_is(server, tmp_path):
    facts = facts_of(entry(f"{server}/good"))
    said = []
    fetching.fetch(facts, data_dir=tmp_path, say=said.append)
    assert SHA256 in said[-1]
    assert "checked by sha256" in said[-1]
    fetching.fetch(facts_of(entry(f"{server}/missing")), data_dir=tmp_path, say=said.append)
    assert said[-1].endswith("already here")
    fetching.place(entry(), tmp_path).write_bytes(b"damaged")
    with pytest.raises(UsageError, match="sha256"):
        fetching.verified(facts, tmp_path)
    fetching.fetch(facts, data_dir=tmp_path, say=said.append)
    assert fetching.verified(facts, tmp_path)["data"].read_bytes() == BODY


def test_a_file_of_the_user(tmp_path):
    facts, given = facts_of(entry()), tmp_path / "renamed.bin"
    given.write_bytes(BODY)
    with pytest.raises(UsageError, match="--from FILE"):
        fetching.fetch(facts, data_dir=tmp_path / "data", say=list)
    fetching.fetch(facts, data_dir=tmp_path / "data", sources=[given], say=list)
    assert fetching.verified(facts, tmp_path / "data")["data"].read_bytes() == BODY
    given.write_bytes(b"another version")
    with pytest.raises(UsageError, match=r"renamed\.bin has sha256"):
        fetching.fetch(facts, data_dir=tmp_path / "data", sources=[given], say=list)
    assert fetching.verified(facts, tmp_path / "data")["data"].read_bytes() == BODY
    with pytest.raises(UsageError, match="does not exist"):
        fetching.fetch(facts, data_dir=tmp_path / "data", sources=[tmp_path / "nowhere"], say=list)


def test_a_folder_of_the_user_and_an_optional_file(tmp_path):
    files = (
        File(role="a", name="toy/a.bin", sha256=SHA256),
        File(role="b", name="toy/b.bin", md5=MD5),
        File(role="c", name="toy/c.bin", optional=True),
    )
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "deep" / "a.bin").write_bytes(BODY)
    with pytest.raises(UsageError, match=r"'b\.bin', which is not among the 1 files given"):
        fetching.fetch(facts_of(*files), data_dir=tmp_path / "data", sources=[tmp_path / "mine"], say=list)
    (tmp_path / "mine" / "b.bin").write_bytes(BODY)
    fetching.fetch(facts_of(*files), data_dir=tmp_path / "data", sources=[tmp_path / "mine"], say=list)
    assert set(fetching.verified(facts_of(*files), tmp_path / "data")) == {"a", "b"}


def test_which_checksum_was_compared_is_said(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(BODY)
    assert fetching.check(entry(sha256=SHA256, md5="0" * 32), path) == "sha256"
    assert fetching.check(entry(md5=MD5), path) == "md5"
    assert "no checksum" in fetching.check(File(name="x.bin"), path)
    with pytest.raises(UsageError, match=r"102,400 bytes, the published x\.bin has 5"):
        fetching.check(entry(bytes=5, sha256=SHA256), path)


def test_a_file_compressed_anew_is_known_by_its_content(tmp_path):
    path = tmp_path / "x.gz"
    file = File(name="x.gz", bytes=1, sha256="0" * 64, unpacked_sha256=SHA256)
    path.write_bytes(gzip.compress(BODY, 1))
    assert "unpacked" in fetching.check(file, path)
    path.write_bytes(gzip.compress(BODY[:-1], 1))
    with pytest.raises(UsageError, match="bytes"):
        fetching.check(file, path)
    path.write_bytes(b"text")
    with pytest.raises(UsageError, match="bytes"):
        fetching.check(file, path)


def test_an_installed_package_is_used(tmp_path):
    installed = tmp_path / "usr" / "x.gz"
    installed.parent.mkdir()
    installed.write_bytes(gzip.compress(BODY))
    file = File(name="x.gz", unpacked_sha256=SHA256, installed=str(installed))
    said = []
    fetching.fetch(facts_of(file), data_dir=tmp_path / "data", say=said.append)
    assert "installed at" in said[0]
    assert fetching.verified(facts_of(file), tmp_path / "data") == {"data": installed}
    installed.write_bytes(gzip.compress(b"another version"))
    with pytest.raises(UsageError, match="does not unpack"):
        fetching.verified(facts_of(file), tmp_path / "data")
