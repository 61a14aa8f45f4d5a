"""Try again what may pass by itself, and only that.

The type of an error decides: `Transient` ones are retried with growing, fully jittered pauses; everything else is a
fact that another attempt would not change. Sleep and randomness are arguments, so tests need neither.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from headwater.errors import HeadwaterError, Transient

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0

Result = TypeVar("Result")


def retry(
    call: Callable[[], Result], *, sleep: Callable[[float], None], random: Callable[[], float], attempts: int = 3
) -> Result:
    """Call until it succeeds, fails for good, or has failed `attempts` times.

    Args:
        call: the whole unit of work; it must be safe to repeat.
        sleep: takes seconds.
        random: gives a number in [0, 1); the pause is that share of the current ceiling (1, 2, 4, .. 30 s).
        attempts: how often to call at most.

    Raises:
        HeadwaterError: the last error; its facts then hold `attempts`.
    """
    if attempts < 1:
        message = f"attempts must be at least 1, not {attempts}"
        raise ValueError(message)
    attempt = 1
    while True:
        try:
            return call()
        except HeadwaterError as error:
            if not isinstance(error, Transient):
                raise
            if attempt >= attempts:
                error.facts["attempts"] = attempt
                raise
        ceiling = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        sleep(random() * ceiling)
        attempt += 1


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a source retries its calls.

    Attributes:
        sleep: takes seconds.
        random: gives a number in [0, 1).
        attempts: how often to call at most.
    """

    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    attempts: int = 3

    def call(self, work: Callable[[], Result]) -> Result:
        """Run `work` under this policy."""
        return retry(work, sleep=self.sleep, random=self.random, attempts=self.attempts)
