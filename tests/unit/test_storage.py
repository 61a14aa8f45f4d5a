"""A store is asked whether it keeps what was put first, by a real client over HTTP."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headwater.errors import ConfigError, StoreUnavailable
from headwater.state.storage import classify_store_error, require_put_if_absent


class Store(BaseHTTPRequestHandler):
    """Keeps keys; a careless one ignores the condition."""

    keys: set[str]
    careless: bool

    def do_PUT(self) -> None:
        exists = self.path in self.keys and self.headers["If-None-Match"] == "*" and not self.careless
        self.keys.add(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(412 if exists else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    keys: set[str] = set()
    kind = type("AStore", (Store,), {"keys": keys, "careless": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    variables = {
        "ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "ACCESS_KEY_ID": "x",
        "SECRET_ACCESS_KEY": "x",
    }
    for name, value in {**variables, "REGION": "us-east-1", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    yield keys
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("store", [False], indirect=True)
def test_a_store_that_keeps_the_first_is_taken_again_and_again(store: set[str]) -> None:
    for _ in range(3):
        require_put_if_absent("s3a://lake/some/ops")
    assert store == {"/lake/some/ops/.put-if-absent"}


@pytest.mark.parametrize("store", [True], indirect=True)
def test_a_store_that_overwrites_is_refused(store: set[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        require_put_if_absent("s3://lake/ops")
    assert raised.value.code == "store_without_put_if_absent"
    assert store == {"/lake/ops/.put-if-absent"}


def test_a_store_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "DEFAULT_REGION"):
        monkeypatch.setenv(f"AWS_{name}", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreUnavailable) as raised:
        require_put_if_absent("s3a://lake/ops")
    assert "127.0.0.1:1" in raised.value.message


def test_a_local_lake_is_not_asked() -> None:
    require_put_if_absent("/data/lake/ops")


@pytest.mark.parametrize(
    ("error", "is_store"),
    [
        (OSError(28, "No space left on device"), True),
        (OSError(2, "No such file or directory"), False),
        (ValueError("No space left on device"), False),
    ],
)
def test_a_failed_write_is_told_from_other_failures(error: Exception, is_store: bool) -> None:  # noqa: FBT001
    assert (classify_store_error(error) is not None) is is_store
