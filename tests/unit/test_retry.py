"""Only what may pass by itself is tried again, at growing and jittered distances."""

import pytest

from headwater.errors import ConfigError, SourceUnavailable
from headwater.retry import RetryPolicy, retry


class Flaky:
    """Fails the given number of times, then answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise SourceUnavailable("data_source_unavailable", f"failure {self.calls}")
        return "answer"


def test_an_answer_needs_one_call_and_no_pause() -> None:
    call, pauses = Flaky(0), []
    assert retry(call, sleep=pauses.append, random=lambda: 0.5) == "answer"
    assert (call.calls, pauses) == (1, [])


def test_two_failures_are_survived() -> None:
    call, pauses = Flaky(2), []
    assert retry(call, sleep=pauses.append, random=lambda: 1.0) == "answer"
    assert (call.calls, pauses) == (3, [1.0, 2.0])


def test_the_third_failure_is_raised_with_the_number_of_attempts() -> None:
    call, pauses = Flaky(9), []
    with pytest.raises(SourceUnavailable) as caught:
        retry(call, sleep=pauses.append, random=lambda: 1.0)
    assert caught.value.message == "failure 3"
    assert caught.value.facts["attempts"] == 3
    assert (call.calls, len(pauses)) == (3, 2)


def test_pauses_double_up_to_thirty_seconds() -> None:
    pauses: list[float] = []
    with pytest.raises(SourceUnavailable):
        retry(Flaky(99), sleep=pauses.append, random=lambda: 1.0, attempts=8)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_jitter_takes_its_share_of_the_whole_ceiling() -> None:
    shares, pauses = iter([0.0, 0.25, 0.75]), []
    with pytest.raises(SourceUnavailable):
        retry(Flaky(99), sleep=pauses.append, random=lambda: next(shares), attempts=4)
    assert pauses == [0.0, 0.5, 3.0]


@pytest.mark.parametrize("error", [ConfigError("x", "wrong"), ValueError("bug")], ids=["terminal", "foreign"])
def test_anything_else_is_raised_at_once(error: Exception) -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)) as caught:
        retry(call, sleep=lambda _: pytest.fail("paused"), random=lambda: 1.0)
    assert caught.value is error
    assert len(calls) == 1


def test_no_attempts_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        retry(Flaky(0), sleep=lambda _: None, random=lambda: 1.0, attempts=0)


def test_a_policy_carries_its_pauses_and_attempts() -> None:
    pauses: list[float] = []
    policy = RetryPolicy(sleep=pauses.append, random=lambda: 0.5, attempts=2)
    with pytest.raises(SourceUnavailable):
        policy.call(Flaky(5))
    assert pauses == [0.5]
