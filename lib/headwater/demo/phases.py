"""The two phases of a table or collection whose records are rewritten in place: transactions and behaviour documents.

A `Form` says what differs between the two sources; everything else is told once. Each function writes its labels at
the place where it makes the record, so the account cannot drift from what was made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import numpy as np

from headwater.demo.dirt import Recipe
from headwater.demo.world import Label, Outcome, Phase, Rewrite, Scale, SourceName, Writes

Row = TypeVar("Row")

CORRECTIONS = 6
EVENTS_PER_STRANGER = 3


@dataclass(frozen=True, slots=True)
class Correction(Generic[Row]):
    """A change that leaves a good record good; the number picks one of its variants."""

    note: str
    apply: Callable[[Row, int], Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form(Generic[Row]):
    """What the generator must know about a source to spoil, correct and copy its records.

    Attributes:
        copy: the record under the n-th key, its event moved by the given time.
        stamp: the record with another `updated_at`.
        unreadable: reasons that leave a record without a readable watermark, so that every extraction reads it.
        late_events: how many late events the change brings at least.
    """

    source: SourceName
    key: Callable[[Row], str]
    copy: Callable[[Row, int, timedelta], Row]
    stamp: Callable[[Row, datetime], Row]
    assign: Callable[[Row, str], Row]
    dirt: tuple[Recipe[Row, Row], ...]
    corrections: tuple[Correction[Row], ...]
    unreadable: frozenset[str]
    late_events: int


class Account:
    """Collects the labels of one phase of one source."""

    def __init__(self, phase: Phase, source: SourceName) -> None:
        """Start without labels."""
        self.phase = phase
        self.source = source
        self.labels: list[Label] = []

    def add(self, key: str, outcome: Outcome, note: str = "", *, reasons: tuple[str, ...] = ()) -> None:
        """Note what must become of one record."""
        self.labels.append(Label(self.phase, self.source, key, outcome, reasons, note))


class Deck(Generic[Row]):
    """Records in random order, each dealt once, so that no record gets two kinds of dirt."""

    def __init__(self, rows: Sequence[Row], rng: np.random.Generator) -> None:
        """Shuffle without touching `rows`."""
        self._rows = rows
        self._order: list[int] = rng.permutation(len(rows)).tolist()

    def deal(self) -> Row:
        """The next record."""
        return self._rows[self._order.pop()]


@dataclass(frozen=True, slots=True)
class Spoilt(Generic[Row]):
    """A bad record of the initial load, and the good one it should have been."""

    good: Row
    bad: Row
    recipe: Recipe[Row, Row]


@dataclass(slots=True)
class Opening(Generic[Row]):
    """The initial load of one source, and what the change must remember of it.

    Attributes:
        deck: untouched good records of the last weeks.
        next_number: the first key number that is free.
        strangers: records of users who arrive with the change.
        shadows: other versions of good records, under a user who arrives, and what becomes of them then.
    """

    rows: list[Row]
    deck: Deck[Row]
    next_number: int
    spoilt: list[Spoilt[Row]] = field(default_factory=list)
    strangers: list[Row] = field(default_factory=list)
    shadows: list[tuple[Row, Outcome]] = field(default_factory=list)

    def fresh(self, form: Form[Row], *, back: timedelta = timedelta()) -> Row:
        """A new good record, made after a recent one."""
        self.next_number += 1
        return form.copy(self.deck.deal(), self.next_number - 1, -back)


def spoil_initial(
    form: Form[Row], opening: Opening[Row], arrivals: Sequence[str], account: Account, *, repeats: int
) -> None:
    """Add the bad records of every recipe and the events of users who are not known yet."""
    for recipe in form.dirt:
        for _ in range(repeats):
            good = opening.fresh(form)
            bad = recipe.spoil(good)
            opening.spoilt.append(Spoilt(good, bad, recipe))
            opening.rows.append(bad)
            account.add(form.key(bad), "quarantined", recipe.note, reasons=recipe.reasons)
    for user in arrivals:
        for _ in range(EVENTS_PER_STRANGER):
            row = form.assign(opening.fresh(form), user)
            opening.strangers.append(row)
            opening.rows.append(row)
            account.add(form.key(row), "quarantined", "arrives with the change", reasons=("unknown_user",))


def write_change(
    form: Form[Row],
    opening: Opening[Row],
    day_rows: Sequence[Row],
    account: Account,
    *,
    scale: Scale,
    rng: np.random.Generator,
) -> Writes[Row]:
    """Everything written between the extractions."""
    clock = change_clock(scale, rng)
    inserts = [*day_rows, *_late_events(form, opening, scale, rng)]
    for recipe in form.dirt:
        for _ in range(scale.change_repeats):
            bad = recipe.spoil(form.stamp(opening.fresh(form), clock()))
            inserts.append(bad)
            account.add(form.key(bad), "quarantined", recipe.note, reasons=recipe.reasons)
    rewrites = _corrected(form, opening, clock, account, scale)
    rewrites += _worsened(form, opening, clock, account, scale)
    mended, mendable = _mended(form, opening, clock, account, scale)
    reread = [entry for entry in mendable if form.unreadable & set(entry.recipe.reasons)]
    for entry in reread:
        account.add(form.key(entry.bad), "quarantined", "read again: no watermark", reasons=entry.recipe.reasons)
    rewrites += mended + _still_bad(form, mendable, clock, account, scale)
    rewrites += _arrived(form, opening, clock, account)
    return Writes(tuple(inserts), tuple(rewrites), len(reread))


def change_clock(scale: Scale, rng: np.random.Generator) -> Callable[[], datetime]:
    """Instants between the extractions, the first of them right at the lower edge."""
    first = scale.first_extraction
    longest = int(timedelta(hours=23, minutes=45) / timedelta(microseconds=1))
    edge = iter((first + timedelta(milliseconds=1),))

    def tick() -> datetime:
        return next(edge, None) or first + timedelta(microseconds=int(rng.integers(1_000_000, longest)))

    return tick


def _late_events(form: Form[Row], opening: Opening[Row], scale: Scale, rng: np.random.Generator) -> list[Row]:
    """Good events of earlier days that the source learns of only now."""
    clock = change_clock(scale, rng)
    count = max(form.late_events, scale.customers // 20)
    days = rng.integers(1, 29, count).tolist()
    return [form.stamp(opening.fresh(form, back=timedelta(days=day)), clock()) for day in days]


def _corrected(
    form: Form[Row], opening: Opening[Row], clock: Callable[[], datetime], account: Account, scale: Scale
) -> list[Rewrite[Row]]:
    """Good records that stay good with other content."""
    rewrites = []
    for correction in form.corrections:
        for number in range(CORRECTIONS + scale.change_repeats):
            old = opening.deck.deal()
            rewrites.append(Rewrite(old, form.stamp(correction.apply(old, number), clock())))
            account.add(form.key(old), "updated", correction.note)
    return rewrites


def _worsened(
    form: Form[Row], opening: Opening[Row], clock: Callable[[], datetime], account: Account, scale: Scale
) -> list[Rewrite[Row]]:
    """Good records that turn bad at the source: quarantined, and silver keeps what it has."""
    rewrites = []
    for recipe in form.dirt * scale.change_repeats:
        old = opening.deck.deal()
        bad = recipe.spoil(form.stamp(old, clock()))
        rewrites.append(Rewrite(old, bad))
        account.add(form.key(bad), "quarantined", f"was good: {form.key(old)}", reasons=recipe.reasons)
    return rewrites


def _mended(
    form: Form[Row], opening: Opening[Row], clock: Callable[[], datetime], account: Account, scale: Scale
) -> tuple[list[Rewrite[Row]], list[Spoilt[Row]]]:
    """The first bad records of every recipe turn good; the rest is returned as it was."""
    rewrites, left = [], []
    seen: dict[int, int] = {}
    for entry in opening.spoilt:
        seen[id(entry.recipe)] = seen.get(id(entry.recipe), 0) + 1
        if seen[id(entry.recipe)] > scale.change_repeats:
            left.append(entry)
            continue
        rewrites.append(Rewrite(entry.bad, form.stamp(entry.good, clock())))
        account.add(form.key(entry.good), "inserted", f"was {' '.join(entry.recipe.reasons)}")
    return rewrites, left


def _still_bad(
    form: Form[Row], left: Sequence[Spoilt[Row]], clock: Callable[[], datetime], account: Account, scale: Scale
) -> list[Rewrite[Row]]:
    """A few bad records are written again without becoming better."""
    readable = [entry for entry in left if not form.unreadable & set(entry.recipe.reasons)]
    rewrites = []
    for entry in readable[-2 * scale.change_repeats :]:
        rewrites.append(Rewrite(entry.bad, form.stamp(entry.bad, clock())))
        account.add(form.key(entry.bad), "quarantined", "rewritten, still bad", reasons=entry.recipe.reasons)
    return rewrites


def _arrived(
    form: Form[Row], opening: Opening[Row], clock: Callable[[], datetime], account: Account
) -> list[Rewrite[Row]]:
    """Records of users who are customers now: replayed, and every third one also rewritten at the source."""
    rewrites = []
    for number, row in enumerate(opening.strangers):
        key = form.key(row)
        account.add(key, "replayed", "its customer arrived", reasons=("unknown_user",))
        if number % EVENTS_PER_STRANGER == 0:
            rewrites.append(Rewrite(row, form.stamp(form.corrections[0].apply(row, number), clock())))
            account.add(key, "batch_duplicate", "the replayed record loses to its own newer version")
    for row, outcome in opening.shadows:
        account.add(form.key(row), "replayed", "its customer arrived", reasons=("unknown_user",))
        account.add(form.key(row), outcome, "against the version silver has")
    return rewrites
