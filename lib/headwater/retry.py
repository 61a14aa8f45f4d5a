"""Try again what may pass by itself, and only that; and leave alone for a while what has just failed three times.

The type of an error decides: `Transient` ones are retried with growing, fully jittered pauses; everything else is a
fact that another attempt would not change. Clock, sleep and randomness are arguments, so tests need none of them.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TypeVar

from headwater.errors import HeadwaterError, SourceResting, Transient

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
FAILURES_THAT_OPEN = 3
OPEN_SECONDS = 60.0

Result = TypeVar("Result")


class CircuitBreaker:
    """Refuses calls to what has just failed, so that nobody waits for a server that is known to be away.

    Closed, it lets everything through; three transient failures in a row open it. After sixty seconds the next call
    tries: its success closes the breaker, its failure opens it for as long again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._failures, self._opened_at = 0, float("-inf")
        self._last: HeadwaterError | None = None

    def call(self, work: Callable[[], Result]) -> Result:
        """Do the work, unless the breaker is open.

        Raises:
            SourceResting: it is; the facts name the code of the last failure.
            HeadwaterError: what the work raises.
        """
        self._require_closed()
        try:
            answer = work()
        except HeadwaterError as error:
            # Whoever refuses us has answered.
            self._note(error if isinstance(error, Transient) else None)
            raise
        self._note(None)
        return answer

    def _note(self, failure: HeadwaterError | None) -> None:
        with self._lock:
            if failure is None:
                self._failures = 0
            else:
                self._failures, self._last, self._opened_at = self._failures + 1, failure, self._clock()

    def _require_closed(self) -> None:
        with self._lock:
            if self._last is None or self._failures < FAILURES_THAT_OPEN:
                return
            left = self._opened_at + OPEN_SECONDS - self._clock()
            if left > 0:
                raise SourceResting(
                    "circuit_open",
                    f"{self._last.message} It failed {self._failures} times and is left alone for {left:.0f} s.",
                    remedy=self._last.remedy,
                    facts=self._last.facts | {"cause": self._last.code},
                )
            # This call is the trial; until it has ended, the others are refused.
            self._opened_at = self._clock()


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
    """How the calls to one source are retried, and when they are refused.

    Attributes:
        sleep: takes seconds.
        random: gives a number in [0, 1).
        attempts: how often to call at most.
        breaker: shared by all calls of the source.
    """

    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    attempts: int = 3
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)

    def call(self, work: Callable[[], Result]) -> Result:
        """Run `work` under this policy."""
        guarded = partial(self.breaker.call, work)
        return retry(guarded, sleep=self.sleep, random=self.random, attempts=self.attempts)
