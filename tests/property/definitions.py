"""What every feature of one view means, one row and one event at a time, in plain Python and exact fractions.

It shares no code with the engine; of the configuration it takes the declared types, caps and defaults.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from random import Random

from headwater.config.features import FeatureView

EPOCH = date(1970, 1, 1)
AMOUNT = {"kind": "column", "column": "amount"}
CHANNEL = {"kind": "column", "column": "channel"}
HOUR = {"kind": "part", "part": "hour", "of": "at"}
WEB = [{"column": "channel", "equals": "web"}]
WAIT = {"kind": "days_between", "start": "at", "end": "settled"}
VIEW = FeatureView.model_validate(
    {
        "name": "v",
        "version": "1",
        "entity": "who",
        "population": {"table": "people", "since": "joined"},
        "attributes": ["plan"],
        "groups": [
            {
                "table": "sales",
                "event_time": "at",
                "features": [
                    {"name": "sum_3d", "type": "decimal(18,2)", "op": "sum", "value": AMOUNT, "window_days": 3, "default": 0},
                    {"name": "count_ever", "type": "bigint", "op": "count", "default": 0},
                    {"name": "mean_7d", "type": "double", "op": "mean", "value": AMOUNT, "window_days": 7, "default": 0},
                    {"name": "min_5d", "type": "decimal(12,2)", "op": "min", "value": AMOUNT, "window_days": 5},
                    {"name": "max_ever", "type": "decimal(12,2)", "op": "max", "value": AMOUNT},
                    {"name": "max_30d", "type": "double", "op": "max", "value": AMOUNT, "window_days": 30},
                    {"name": "first_at", "type": "date", "op": "first_day"},
                    {"name": "last_at_9d", "type": "date", "op": "last_day", "window_days": 9},
                    {"name": "days_since", "type": "int", "op": "days_since_last", "cap": 8, "default": 365},
                    {"name": "age", "type": "int", "op": "days_since_first"},
                    {"name": "variance_9d", "type": "double", "op": "variance", "value": AMOUNT, "window_days": 9},
                    {"name": "first_amount_9d", "type": "decimal(18,2)", "op": "first", "value": AMOUNT, "window_days": 9},
                    {"name": "last_amount", "type": "double", "op": "last", "value": AMOUNT, "cap": 900},
                    {"name": "first_channel", "type": "string", "op": "first", "value": CHANNEL},
                    {"name": "last_channel_5d", "type": "string", "op": "last", "value": CHANNEL, "window_days": 5, "default": "none"},
                    {"name": "channels_5d", "type": "bigint", "op": "distinct", "value": CHANNEL, "window_days": 5, "default": 0},
                    {"name": "channels_ever", "type": "int", "op": "distinct", "value": CHANNEL},
                    {"name": "amounts_9d", "type": "bigint", "op": "distinct", "value": AMOUNT, "window_days": 9, "default": 0},
                    {"name": "web_hours", "type": "bigint", "op": "distinct", "value": HOUR, "where": WEB},
                    {"name": "hours_ever", "type": "int", "op": "distinct", "value": HOUR, "default": 0},
                    {"name": "about_amounts_9d", "type": "int", "op": "distinct_approx", "value": AMOUNT, "window_days": 9},
                    {"name": "about_hours", "type": "int", "op": "distinct_approx", "value": HOUR, "default": 0},
                    {"name": "about_web_hours", "type": "int", "op": "distinct_approx", "value": HOUR, "where": WEB},
                    {"name": "usual_channel", "type": "string", "op": "most_frequent", "value": CHANNEL, "default": "none"},
                    {"name": "usual_channel_7d", "type": "string", "op": "most_frequent", "value": CHANNEL, "window_days": 7},
                    {"name": "usual_amount_12d", "type": "decimal(18,2)", "op": "most_frequent", "value": AMOUNT, "window_days": 12},
                    {"name": "usual_hour", "type": "int", "op": "most_frequent", "value": HOUR, "cap": 12},
                    {"name": "mean_of_3", "type": "double", "op": "mean", "value": AMOUNT, "events": 3},
                    {"name": "std_of_5", "type": "double", "op": "std", "value": AMOUNT, "events": 5, "min_events": 3, "default": -1},
                    {"name": "variance_of_2", "type": "double", "op": "variance", "value": AMOUNT, "events": 2},
                    {"name": "sum_of_1", "type": "decimal(18,2)", "op": "sum", "value": AMOUNT, "events": 1, "default": 0},
                    {"name": "max_of_4", "type": "decimal(18,2)", "op": "max", "value": AMOUNT, "events": 4, "cap": 900},
                    {"name": "min_of_7", "type": "decimal(18,2)", "op": "min", "value": AMOUNT, "events": 7, "min_events": 2},
                    {"name": "min_web_hour", "type": "int", "op": "min", "value": HOUR, "where": WEB, "events": 2},
                    {"name": "std_ever", "type": "double", "op": "std", "value": AMOUNT, "default": -1},
                ],
            },
            {
                "table": "claims",
                "event_time": "at",
                "features": [
                    {"name": "claims_4d", "type": "bigint", "op": "count", "window_days": 4, "default": 0},
                    {"name": "wait_6d", "type": "double", "op": "mean", "value": WAIT, "window_days": 6, "available": "settled"},
                    {"name": "worst_wait", "type": "int", "op": "max", "value": WAIT, "available": "settled", "default": -1},
                    {"name": "waits_20d", "type": "int", "op": "distinct", "value": WAIT, "available": "settled", "window_days": 20},
                    {"name": "usual_wait", "type": "int", "op": "most_frequent", "value": WAIT, "available": "settled"},
                    {"name": "last_wait", "type": "int", "op": "last", "value": WAIT, "available": "settled", "window_days": 30},
                    {"name": "settled_ever", "type": "bigint", "op": "count", "available": "settled"},
                    {"name": "settled_4d", "type": "bigint", "op": "count", "window_days": 4, "available": "settled", "default": 0},
                ],
            },
        ],
        "derived": [
            {"name": "twice", "type": "double", "op": "ratio", "of": ["per_day", "days_since"]},
            {"name": "per_day", "type": "double", "op": "ratio", "of": ["sum_3d", "variance_9d"], "default": 7},
            {"name": "above_mean", "type": "decimal(18,4)", "op": "difference", "of": ["max_ever", "mean_7d"]},
            {"name": "days_apart", "type": "int", "op": "difference", "of": ["last_at_9d", "first_at"], "cap": 6, "default": -1},
            {"name": "of_last", "type": "double", "op": "ratio", "of": ["sum_3d", "last_amount"]},
            {"name": "settled_share", "type": "double", "op": "ratio", "of": ["settled_ever", "count_ever"], "default": 0},
        ],
    }
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    who: str
    day: int
    micro: int
    cents: int | None = None
    channel: str | None = None
    settled: int | None = None

    @property
    def hour(self) -> int:
        return self.micro // 3_600_000_000


@dataclass(frozen=True)
class Version:
    who: str
    first: int
    end: int | None
    plan: str


@dataclass(frozen=True)
class History:
    versions: list[Version]
    sales: list[Event]
    claims: list[Event]
    dates: list[int]


def drawn(rng: Random, many: int) -> History:
    """Independent histories of the same dates, as one; together they take the engine little longer than one alone."""
    # Around a leap day, a month's end and a year's end alike.
    origin = rng.choice([(date(2024, 2, 29) - EPOCH).days, (date(2023, 12, 31) - EPOCH).days, -3])
    length = rng.choice([1, 2, 5, 12, 40])
    found = History([], [], [], sorted(rng.sample(range(origin, origin + length), rng.randint(1, length))))
    for number in range(many):
        add_history(found, range(origin - rng.choice([3, 12, 50]), origin + length + 3), number, rng)
    return found


def add_history(found: History, near: range, number: int, rng: Random) -> None:
    """A few entities over a few weeks: sparse and crowded days, events before and after every date, ties and gaps."""
    people = [f"{number}.{each}" for each in range(rng.randint(1, 4))]
    for who in people:
        cuts = sorted(rng.sample(near, rng.randint(1, 3)))
        for number, first in enumerate(cuts):
            end = cuts[number + 1] if number + 1 < len(cuts) else rng.choice([None, None, cuts[-1] + 4])
            found.versions.append(Version(who, first, end, rng.choice("abc")))
    for _ in range(rng.choice([0, 1, 3, 12, 30])):
        cents = None if rng.random() < 0.1 else rng.choice([0, 1, -1, 5, -250, 99_999, 10**11])
        channel = rng.choice(CHANNELS)
        found.sales.append(Event(rng.choice([*people, "stranger"]), rng.choice(near), moment(rng), cents, channel))
    for _ in range(rng.choice([0, 2, 8])):
        day = rng.choice(near)
        settled = rng.choice([None, day, day + rng.randint(0, 9)])
        found.claims.append(Event(rng.choice(people), day, moment(rng), settled=settled))


def moment(rng: Random) -> int:
    """Within a day: often the same one, and often its first or last microsecond."""
    return rng.choice([0, 0, 86_399_999_999, 43_200_000_000, rng.randrange(86_400_000_000)])


# Bytewise: upper case before lower, an accent and a sign beyond 16 bits after both, and a prefix before what goes on.
CHANNELS = [None, "", "web", "Web", "web shop", "\u00e9t\u00e9", "\U0001f600", "\uffee"]


Exact = Fraction | int | str | None


def naive(history: History) -> list[tuple[object, ...]]:
    """Every row: entity, day, features, attribute."""
    sales, claims = by_entity(history.sales), by_entity(history.claims)
    rows = []
    for version in history.versions:
        for day in history.dates:
            if version.first <= day and (version.end is None or day < version.end):
                cells = [
                    cell(feature.name, value)
                    for feature, value in zip(
                        VIEW.features, exact(sales[version.who], claims[version.who], day), strict=True
                    )
                ]
                rows.append((version.who, day, *cells, version.plan))
    return sorted(rows, key=lambda row: row[:2])


def by_entity(events: list[Event]) -> dict[str, list[Event]]:
    found = defaultdict(list)
    for event in events:
        found[event.who].append(event)
    return found


DECLARED = {feature.name: feature for feature in VIEW.features}


def cell(name: str, value: Exact) -> object:
    """A value as the feature is declared."""
    feature = DECLARED[name]
    if value is None and feature.default is None:
        return None
    if value is None:
        value = feature.default
    elif feature.cap is not None:
        value = min(value, feature.cap)
    if feature.type == "double":
        return float(value)
    if feature.type.startswith("decimal"):
        places = int(feature.type.rstrip(")").rpartition(",")[2])
        return Decimal(int(rounded(Fraction(value), places) * 10**places)).scaleb(-places)
    return value


def rounded(value: Fraction, places: int = 6) -> Fraction:
    """Half away from zero."""
    units = (abs(value) * 10**places + Fraction(1, 2)).__floor__()
    return Fraction(units if value >= 0 else -units, 10**places)


def exact(sales: list[Event], claims: list[Event], day: int) -> Iterator[Exact]:
    """Every feature in declared order, before cap and default."""
    own = {**of_sales(sales, day), **of_claims(claims, day)}
    yield from own.values()
    per_day = share(own["sum_3d"], own["variance_9d"])
    yield share(per_day, own["days_since"])
    yield per_day
    yield apart(own["max_ever"], own["mean_7d"])
    yield apart(own["last_at_9d"], own["first_at"])
    yield share(own["sum_3d"], own["last_amount"])
    yield share(own["settled_ever"], own["count_ever"])


def of_sales(sales: list[Event], day: int) -> dict[str, Exact]:
    past = [event for event in sales if event.day <= day]

    def within(days: int) -> list[Event]:
        return [event for event in past if event.day > day - days]

    def amounts(events: list[Event]) -> list[Fraction]:
        return [Fraction(event.cents, 100) for event in events if event.cents is not None]

    def amounts_at(events: list[Event]) -> list[tuple[object, ...]]:
        return [((event.day, event.micro), Fraction(event.cents, 100)) for event in events if event.cents is not None]

    def channels_at(events: list[Event]) -> list[tuple[object, ...]]:
        return [((event.day, event.micro), event.channel.encode()) for event in events if event.channel is not None]

    return {
        "sum_3d": some(sum, amounts(within(3))),
        "count_ever": len(past) or None,
        "mean_7d": some(mean, amounts(within(7))),
        "min_5d": some(min, amounts(within(5))),
        "max_ever": some(max, amounts(past)),
        "max_30d": some(max, amounts(within(30))),
        "first_at": some(min, [event.day for event in past]),
        "last_at_9d": some(max, [event.day for event in within(9)]),
        "days_since": some(lambda days: day - max(days), [event.day for event in past]),
        "age": some(lambda days: day - min(days), [event.day for event in past]),
        "variance_9d": some(lambda values: rounded(variance(values)), amounts(within(9)), least=2),
        "first_amount_9d": some(lambda pairs: min(pairs)[1], amounts_at(within(9))),
        "last_amount": some(lambda pairs: max(pairs)[1], amounts_at(past)),
        "first_channel": some(lambda pairs: min(pairs)[1].decode(), channels_at(past)),
        "last_channel_5d": some(lambda pairs: max(pairs)[1].decode(), channels_at(within(5))),
        "channels_5d": distinct([event.channel for event in within(5)]),
        "channels_ever": distinct([event.channel for event in past]),
        "amounts_9d": distinct([event.cents for event in within(9)]),
        "web_hours": distinct([event.hour for event in past if event.channel == "web"]),
        "hours_ever": distinct([event.hour for event in past]),
        "about_amounts_9d": some(about, [event.cents for event in within(9) if event.cents is not None]),
        "about_hours": some(about, [event.hour for event in past]),
        "about_web_hours": some(about, [event.hour for event in past if event.channel == "web"]),
        "usual_channel": usual([event.channel for event in past]),
        "usual_channel_7d": usual([event.channel for event in within(7)]),
        "usual_amount_12d": some(usual, amounts(within(12))),
        "usual_hour": usual([event.hour for event in past]),
        "mean_of_3": some(mean, newest(amounts_at(past), 3)),
        "std_of_5": some(lambda values: root(variance(values)), newest(amounts_at(past), 5), least=3),
        "variance_of_2": some(lambda values: rounded(variance(values)), newest(amounts_at(past), 2), least=2),
        "sum_of_1": some(sum, newest(amounts_at(past), 1)),
        "max_of_4": some(max, newest(amounts_at(past), 4)),
        "min_of_7": some(min, newest(amounts_at(past), 7), least=2),
        "min_web_hour": some(
            min, newest([((event.day, event.micro), event.hour) for event in past if event.channel == "web"], 2)
        ),
        "std_ever": some(lambda values: root(variance(values)), amounts(past), least=2),
    }


def of_claims(claims: list[Event], day: int) -> dict[str, Exact]:
    past = [event for event in claims if event.day <= day]
    settled = [event for event in past if event.settled is not None and event.settled <= day]
    return {
        "claims_4d": sum(event.day > day - 4 for event in past) or None,
        "wait_6d": some(mean, [Fraction(event.settled - event.day) for event in settled if event.day > day - 6]),
        "worst_wait": some(max, [event.settled - event.day for event in settled]),
        "waits_20d": distinct([event.settled - event.day for event in settled if event.day > day - 20]),
        "usual_wait": usual([event.settled - event.day for event in settled]),
        "last_wait": some(
            lambda pairs: max(pairs)[1],
            [((event.day, event.micro), event.settled - event.day) for event in settled if event.day > day - 30],
        ),
        "settled_ever": len(settled) or None,
        "settled_4d": sum(event.day > day - 4 for event in settled) or None,
    }


def some(op: Callable[[list], Exact], values: list, least: int = 1) -> Exact:
    """Of too few values there is nothing to say."""
    return op(values) if len(values) >= least else None


def newest(dated: list[tuple[object, object]], count: int) -> list:
    """The values of the last few; those of one instant are in order of value."""
    return [value for _, value in sorted(dated)[-count:]]


def distinct(values: list) -> int | None:
    return len({*values} - {None}) or None


def usual(values: list) -> Exact:
    """Of the values that most have, the smallest; of texts the smallest byte by byte."""
    known = [value for value in values if value is not None]
    most = max((known.count(value) for value in known), default=None)
    return min((value for value in known if known.count(value) == most), key=in_order, default=None)


def in_order(value: object) -> object:
    return value.encode() if isinstance(value, str) else value


def hashed(value: int) -> tuple[int, int]:
    """Register and rank; few of either, so that they collide. What the engine is given is made of them too."""
    mixed = value * 2_654_435_761 % 2**32
    return mixed % 6, 1 + mixed // 6 % 4


def about(values: list[int]) -> int:
    """The sketch by its definition, from all values at once."""
    ranks = [
        max(rank for at, rank in map(hashed, values) if at == register) for register in {hashed(v)[0] for v in values}
    ]
    share = (4096 - len(ranks)) / 4096
    empty = share + sum(share ** (2**k) * 2 ** (k - 1) for k in range(1, 40))
    return round(4096**2 / (2 * math.log(2)) / (4096 * empty + sum(2.0**-rank for rank in ranks)))


def mean(values: list[Fraction]) -> Fraction:
    return rounded(sum(values) / len(values))


def variance(values: list[Fraction]) -> Fraction:
    """Of a sample: squares of the distances from the mean."""
    middle = sum(values) / len(values)
    return sum((each - middle) ** 2 for each in values) / (len(values) - 1)


def root(value: Fraction) -> Fraction:
    with localcontext(prec=80):
        found = (Decimal(value.numerator) / value.denominator).sqrt()
        return Fraction(found.quantize(Decimal("0.000001"), ROUND_HALF_UP))


def share(above: Exact, below: Exact) -> Exact:
    return None if above is None or not below else rounded(Fraction(above) / below)


def apart(left: Exact, right: Exact) -> Exact:
    return None if left is None or right is None else left - right
