"""What is written can be read, on a disk, by URL and in an S3 store; what is not there is nothing."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from headwater.state.files import read_file, write_file


class Store(BaseHTTPRequestHandler):
    """Keeps objects; below /secret/ it lets nobody in."""

    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200)

    def do_GET(self) -> None:
        found = self.objects.get(self.path)
        self.answer(403 if self.path.startswith("/secret/") else 404 if found is None else 200, found or b"")

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def options() -> Iterator[dict[str, str]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("AStore", (Store,), {"objects": {}}))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
    }
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_of_a_disk(tmp_path: Path, form: str) -> None:
    location = form.format(tmp_path / "file.json")
    assert read_file(location) is None
    assert write_file(location, "ünï\n") == location
    assert read_file(location) == "ünï\n"


def test_of_a_store(options: dict[str, str]) -> None:
    assert read_file("s3://lake/ops/a.json", storage_options=options) is None
    write_file("s3a://lake/ops/a.json", "ünï\n", storage_options=options)
    assert read_file("s3://lake/ops/a.json", storage_options=options) == "ünï\n"


def test_who_may_not_look_does_not_find_nothing(options: dict[str, str]) -> None:
    with pytest.raises(ClientError):
        read_file("s3://secret/a.json", storage_options=options)
