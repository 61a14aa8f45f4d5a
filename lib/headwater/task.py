"""The entry point of a wheel task: a job that did not end well raises, for nobody looks at a task's exit code.

The wheel holds the scripts of `jobs/` as the package `headwater_jobs`, a link in a checkout.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

import headwater_jobs
from headwater.config.base import nearest
from headwater.errors import ConfigError, ExitCode


class TaskFailed(Exception):
    """A job ended with another exit code than 0; its own message and its result file say why."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the first argument names, with the arguments that follow.

    Raises:
        ConfigError: there is no such job.
        TaskFailed: it did not end with 0.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    name, arguments = (given[0], given[1:]) if given else ("", [])
    known = sorted(module.name for module in iter_modules(headwater_jobs.__path__))
    if name not in known:
        message = f"Unknown job {name!r}.{nearest(name, known)}"
        raise ConfigError("unknown_job", message, remedy=f"Jobs: {', '.join(known)}.", facts={"value": name})
    code = ExitCode(import_module(f"headwater_jobs.{name}").main(arguments))
    if code is not ExitCode.DONE:
        message = f"{name} ended with {code.value} ({code.name.lower()}); the message is on standard error."
        raise TaskFailed(message)
