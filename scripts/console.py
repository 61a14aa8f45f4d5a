"""How set-up talks: one line per step, a sign of life every few seconds, one clear error with its remedy."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

_SIGN_OF_LIFE_SECONDS = 10.0
_TAIL_LINES = 12


class SetupError(Exception):
    """Set-up cannot go on; the message ends with what to do next."""


def say(line: str) -> None:
    """Print one line of progress to standard error, which leaves standard output to `--env`."""
    print(f"setup: {line}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Announce a step, and every few seconds that it still runs."""
    begun, done = monotonic(), threading.Event()

    def tick() -> None:
        while not done.wait(_SIGN_OF_LIFE_SECONDS):
            say(f"  ... still {what} ({monotonic() - begun:.0f} s)")

    say(what)
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()


def run(command: Sequence[str | Path], *, log: Path, remedy: str, env: Mapping[str, str] | None = None) -> None:
    """Run a command with its output in a log file.

    Raises:
        SetupError: it failed; the message has the last lines of the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            check=False,
            close_fds=False,  # the lock of setup.py goes to the child
        )
    if done.returncode != 0:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])
        raise SetupError(f"`{Path(command[0]).name}` ended with {done.returncode}:\n{tail}\n{remedy} Whole log: {log}")
