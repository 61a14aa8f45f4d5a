"""Only what may pass by itself is tried again, at growing and jittered distances."""

from contextlib import suppress

import pytest

from headwater.errors import ConfigError, ExitCode, SourceResting, SourceUnavailable
from headwater.retry import CircuitBreaker, RetryPolicy, retry


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


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def policy(clock: Clock) -> RetryPolicy:
    return RetryPolicy(sleep=lambda _: None, random=lambda: 0.0, breaker=CircuitBreaker(clock))


def refused(policy: RetryPolicy) -> bool:
    """Whether the breaker keeps a call from being made."""
    call = Flaky(0)
    with suppress(SourceResting):
        policy.call(call)
    return call.calls == 0


def test_a_refusal_tells_what_it_was_that_failed(policy: RetryPolicy) -> None:
    with pytest.raises(SourceUnavailable):
        policy.call(Flaky(3))
    with pytest.raises(SourceResting) as refusal:
        policy.call(Flaky(0))
    error = refusal.value
    assert (error.code, error.exit_code) == ("circuit_open", ExitCode.UNAVAILABLE)
    assert error.facts["cause"] == "data_source_unavailable"
    assert error.message.startswith("failure 3 ")


def test_three_failures_open_the_circuit_and_a_minute_later_a_trial_is_made(policy: RetryPolicy, clock: Clock) -> None:
    with pytest.raises(SourceUnavailable):
        policy.call(Flaky(3))
    assert refused(policy)
    clock.now += 59.9
    assert refused(policy)
    clock.now += 0.2
    assert not refused(policy)
    assert not refused(policy)


def test_a_trial_that_fails_opens_the_circuit_for_as_long_again(policy: RetryPolicy, clock: Clock) -> None:
    with pytest.raises(SourceUnavailable):
        policy.call(Flaky(3))
    clock.now += 61
    trial = Flaky(9)
    with pytest.raises(SourceResting):
        policy.call(trial)
    assert trial.calls == 1
    clock.now += 59
    assert refused(policy)
    clock.now += 2
    assert not refused(policy)


def test_while_a_trial_is_made_the_others_are_refused(policy: RetryPolicy, clock: Clock) -> None:
    with pytest.raises(SourceUnavailable):
        policy.call(Flaky(3))
    clock.now += 61
    assert policy.call(lambda: refused(policy))
    assert not refused(policy)


def test_failures_that_an_answer_follows_do_not_add_up(policy: RetryPolicy) -> None:
    for _ in range(4):
        assert policy.call(Flaky(2)) == "answer"


def test_a_trial_that_is_refused_by_the_server_closes_the_circuit(policy: RetryPolicy, clock: Clock) -> None:
    def wrong() -> None:
        raise ConfigError("x", "wrong")

    with pytest.raises(SourceUnavailable):
        policy.call(Flaky(3))
    clock.now += 61
    with pytest.raises(ConfigError):
        policy.call(wrong)
    assert not refused(policy)


def test_mistakes_do_not_open_the_circuit(policy: RetryPolicy) -> None:
    def wrong() -> None:
        raise ConfigError("x", "wrong")

    for _ in range(4):
        with pytest.raises(ConfigError):
            policy.call(wrong)
    assert not refused(policy)
