"""Late rows: which published dates they change, for whom, and whether it is worth to single those out.

    silver commits since the last publication ──rows by day x windows──> published dates that can change
      ──cost rule──> every row of them, or only those of the entities in silver's change feed

A repair by entity costs by the rows that are late, one by date by the rows that there are. It is by entity while late
rows are at most a tenth of the entities, and a million, and while silver's change feed is surely there. The plan needs
no session.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import DataFrame

from headwater.config.features import FeatureView
from headwater.features.kernel import Span, day_number
from headwater.features.scope import changed_entities
from headwater.pipelines.batches import touched
from headwater.pipelines.feeds import FEED_GONE, SURELY_THERE, feeds_kept, read_feed
from headwater.pipelines.late import LateRows, Repair, TableChanges
from headwater.pipelines.published import entities, of_present_definitions, publications_of, published_dates, stages_of
from headwater.pipelines.steps import PublishStage, Runtime
from headwater.state.streams import Commit

# Of the entities; above it, rewriting rows one by one costs more than the dates they are in.
_AT_MOST = 10
# Late rows, for whose they are is broadcast wherever rows of theirs are read.
_BROADCAST = 1_000_000


@dataclass(frozen=True, slots=True)
class Affected:
    """Published dates that late rows can change.

    Attributes:
        late: the rows, by table.
        whole: dates to be computed for everybody.
        by_entity: dates to be computed for who has late rows.
    """

    late: tuple[LateRows, ...] = ()
    whole: frozenset[date] = frozenset()
    by_entity: tuple[date, ...] = ()


def affected(runtime: Runtime) -> Affected:
    """What the silver batches since the last publication change of what is published."""
    publications = publications_of(runtime)
    if not publications:
        return Affected()
    view, published = runtime.project.view, sorted(published_dates(publications))
    within = published[bisect_left(published, _horizon(runtime)) :]
    late, dates = [], set[date]()
    for table in view.tables:
        days = touched(_since_published(runtime, table))
        reachable = affected_dates(view, {table: days}, published)
        if not reachable:
            continue
        ours = affected_dates(view, {table: days}, within)
        among = within if ours else published
        counting = {day: rows for day, rows in days.items() if affected_dates(view, {table: [day]}, among)}
        dates |= ours
        late.append(
            LateRows(
                table=table,
                rows=sum(counting.values()),
                first=min(counting),
                last=max(counting),
                dates_from=min(ours, default=None),
                dates_to=max(ours, default=None),
                beyond=len(reachable - ours),
            )
        )
    if not late or not _pays(runtime, late):
        return Affected(tuple(late), frozenset(dates))
    # A date has rows of one definition only.
    by_entity = dates & of_present_definitions(runtime, publications)
    return Affected(tuple(late), frozenset(dates - by_entity), tuple(sorted(by_entity)))


def affected_dates(view: FeatureView, touched: Mapping[str, Iterable[date]], published: Sequence[date]) -> set[date]:
    """Published dates whose rows can change when rows of some event days changed.

    Args:
        view: its windows say how far a day reaches: window - 1 days for a window, for ever for lifetime features and
            for the dimension.
        touched: event days of old and new row images, by silver table.
        published: the published dates, sorted.
    """
    reaches = [(group.table, group.longest_window) for group in view.groups] + [(view.population.table, None)]
    found = set[date]()
    for table, window in reaches:
        for day in touched.get(table, ()):
            last = date.max if window is None else day + timedelta(days=window - 1)
            found.update(published[bisect_left(published, day) : bisect_right(published, last)])
    return found


def repair_of(runtime: Runtime, found: Affected, versions: Mapping[str, int]) -> Repair | None:
    """How the dates that are repaired by entity are repaired, at versions of silver; None for none."""
    if not found.by_entity:
        return None
    changes = tuple(
        TableChanges(table=each.table, after=after, upto=versions[each.table])
        for each in found.late
        if each.dates_from is not None
        # Stored tiles may not have come as far as silver; what they lack is late once more the next time.
        and ((after := _published_version(runtime, each.table)) is None or after < versions[each.table])
    )
    return Repair(dates=found.by_entity, changes=changes) if changes else None


@contextmanager
def changed_scope(repair: Repair | None, runtime: Runtime) -> Iterator[DataFrame | None]:
    """The entities and days that a repair computes again (`features.scope`), from silver's change feed, read once.

    Raises:
        DataRejected: files or commits of the feed are gone.
    """
    if repair is None:
        yield None
        return
    scope = _scope(repair, runtime).persist()
    try:
        with feeds_kept(repair.changes):
            # Read here, so that what fails later is not taken for the feed.
            scope.count()
        yield scope
    finally:
        scope.unpersist()


def _scope(repair: Repair, runtime: Runtime) -> DataFrame:
    project = runtime.project
    feeds = {change.table: read_feed(change, runtime) for change in repair.changes}
    span = Span(day_number(min(repair.dates)), day_number(max(repair.dates)))
    return changed_entities(feeds, project.tables, project.view, span)


def may_gain_or_lose_rows(step: PublishStage, runtime: Runtime) -> bool:
    """Whether repaired entities may get or lose rows: who is a member has changed, or rows are withheld.

    Either may also have been so before: a row that was withheld is let through, or dates that lay beyond the horizon,
    and took up no change of members, are within it again, in a run for an older date.
    """
    if step.repair is None:
        return False
    dates, members = set(step.repair.dates), runtime.project.view.population.table
    withheld = any(each.ranges and not dates.isdisjoint(each.dates) for each in (*publications_of(runtime), step))
    left = any(late.table == members and late.beyond for stage in stages_of(runtime).values() for late in stage.late)
    return withheld or left or members in {change.table for change in step.repair.changes}


def words(late: LateRows) -> str:
    """Late rows in words."""
    days = f"{late.first}" if late.first == late.last else f"{late.first} .. {late.last}"
    reach = f" reach {late.dates_from} .. {late.dates_to}" if late.dates_from else ""
    beyond = f"; {late.beyond:,} dates lie beyond the repair horizon and stay as they are" if late.beyond else ""
    return f"{late.rows:,} late rows of {late.table} ({days}){reach}{beyond}"


def _pays(runtime: Runtime, late: Sequence[LateRows]) -> bool:
    view = runtime.project.view.name
    oldest = min(commit.committed_at for each in late for commit in _since_published(runtime, each.table))
    tried = [
        commit for stage in ("stage", "tiles") for commit in runtime.ledger.stream(runtime.stream(stage, view)).commits
    ]
    refused = any(each.facts.get("code") == FEED_GONE for each in tried if each.committed_at > oldest)
    is_there = not refused and runtime.clock() - oldest <= SURELY_THERE
    rows = sum(each.rows for each in late if each.dates_from)
    return is_there and rows <= _BROADCAST and rows * _AT_MOST <= entities(runtime)


def _horizon(runtime: Runtime) -> date:
    """The first date that is repaired."""
    days = runtime.project.view.repair_days
    return date.min if days is None else runtime.run_date - timedelta(days=days)


def _since_published(runtime: Runtime, table: str) -> list[Commit]:
    known = publications_of(runtime)[-1].silver_batches.get(table, 0)
    return [commit for commit in runtime.ledger.stream(runtime.stream("silver", table)).commits if commit.n > known]


def _published_version(runtime: Runtime, table: str) -> int | None:
    """The version of a silver table that every published date has taken up; None before it had any rows."""
    known = publications_of(runtime)[-1].silver_batches.get(table, 0)
    commits = runtime.ledger.stream(runtime.stream("silver", table)).commits
    found = [
        commit.facts["silver_version"] for commit in commits if commit.n <= known and "silver_version" in commit.facts
    ]
    return int(str(found[-1])) if found else None
