"""Feature views as declared data: who, from which tables, which aggregates over which windows."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import Field, model_validator

from headwater.config.aggregates import Aggregate, Derived, Tag
from headwater.config.base import CatalogName, Name, Spec, nearest

# What tells people about a feature and decides no value: another word there is no other definition.
_FOR_PEOPLE = {"owner", "description", "tags"}


def longest_window(features: Sequence[Aggregate]) -> int | None:
    """Days of the longest window; None when a feature looks at all history."""
    windows = [feature.window_days for feature in features]
    return None if None in windows else max(window for window in windows if window is not None)


class FeatureGroup(Spec):
    """The features computed from one silver table."""

    table: Name = Field(description="A silver table of kind `fact`.")
    event_time: Name = Field(description="Date or timestamp column that says when a row happened.")
    features: tuple[Aggregate, ...] = Field(min_length=1, description="What is computed, in published order.")

    @property
    def longest_window(self) -> int | None:
        """Days of the longest window; None when a feature looks at all history."""
        return longest_window(self.features)

    @model_validator(mode="after")
    def _one_second_date(self) -> "FeatureGroup":
        if len(seconds := {feature.available for feature in self.features} - {None}) > 1:
            message = f"features of one group share one available date, not {', '.join(sorted(map(str, seconds)))}"
            raise ValueError(message)
        return self


class Population(Spec):
    """Who has a row on a date: entities of a dimension whose start date has come, or that had an event by then."""

    table: Name = Field(description="A history: its versions decide. A fact table: its first event of an entity does.")
    since: Name = Field(description="Column whose day a member's rows begin with.")


class FeatureView(Spec):
    """A published table: key (entity, feature_date), attributes and aggregates."""

    name: Name = Field(description="Name of the published table.")
    version: str = Field(description="Published in `pipeline_version`, before a digest of the definitions.")
    entity: Name = Field(description="Key column of the published table, beside `feature_date`.")
    population: Population = Field(description="Who has a row.")
    groups: tuple[FeatureGroup, ...] = Field(description="The features, by the table they are computed from.")
    derived: tuple[Derived, ...] = Field(default=(), description="Features computed from those, published after them.")
    attributes: tuple[Name, ...] = Field(
        default=(), description="Columns of the population's dimension, as of the date."
    )
    catalog: CatalogName | None = Field(
        default=None, description="Name of history in the session's catalog; latest has it with `_latest` behind."
    )
    ttl_days: int | None = Field(
        default=None,
        ge=1,
        description="Days after its date that a row may be used; none = without end. Changes nothing.",
    )
    repair_days: int | None = Field(
        default=None,
        ge=0,
        description="Late rows change published dates up to so many days before the run's date; none = all of them.",
    )
    owner: str = Field(default="", description="For people; changes nothing.")
    tags: tuple[Tag, ...] = Field(default=(), description="Words to find it by in the catalogue; change nothing.")
    description: str = Field(default="", description="For people; changes nothing.")

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """Every aggregate in declared order."""
        return tuple(feature for group in self.groups for feature in group.features)

    @property
    def features(self) -> tuple[Aggregate | Derived, ...]:
        """Every feature in published order."""
        return (*self.aggregates, *self.derived)

    @property
    def derived_in_turn(self) -> tuple[Derived, ...]:
        """Derived features, each after those that it is computed from."""
        by_name = {feature.name: feature for feature in self.derived}
        order = TopologicalSorter({name: by_name.keys() & feature.of for name, feature in by_name.items()})
        return tuple(by_name[name] for name in order.static_order())

    @property
    def tables_of(self) -> Mapping[str, frozenset[str]]:
        """By feature, the tables whose rows decide its value."""
        found = {feature.name: frozenset([group.table]) for group in self.groups for feature in group.features}
        for feature in self.derived_in_turn:
            found[feature.name] = frozenset[str]().union(*(found[name] for name in feature.of))
        return found

    @property
    def tables(self) -> tuple[str, ...]:
        """Silver tables the view reads, the population's dimension first."""
        return tuple(dict.fromkeys([self.population.table, *(group.table for group in self.groups)]))

    @property
    def pipeline_version(self) -> str:
        """Version of the definitions: the declared one and a digest that changes with every definition."""
        parts = {"entity", "population", "groups", "derived", "attributes"}
        for_people: Mapping[str, Any] = {
            "groups": {"__all__": {"features": {"__all__": _FOR_PEOPLE}}},
            "derived": {"__all__": _FOR_PEOPLE},
        }
        meaning = self.model_dump_json(include=parts, exclude=for_people, exclude_defaults=True)
        return f"{self.version}-{hashlib.sha256(meaning.encode()).hexdigest()[:8]}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Published columns in order."""
        return (*self.computed, "stale_sources", "pipeline_version")

    @property
    def computed(self) -> tuple[str, ...]:
        """Those of them that are computed per entity and date."""
        names = (feature.name for feature in self.features)
        return (self.entity, "feature_date", *names, *self.attributes)

    @model_validator(mode="after")
    def _names_are_unique(self) -> "FeatureView":
        if len(set(self.columns)) != len(self.columns):
            message = f"a feature is named twice among {', '.join(self.columns)}"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _operands_exist(self) -> "FeatureView":
        if mistakes := [*self._unknown_operands()]:
            raise ValueError("; ".join(mistakes))
        try:
            _ = self.derived_in_turn
        except CycleError as error:
            message = f"derived: features are computed from each other in a circle: {' -> '.join(error.args[1])}"
            raise ValueError(message) from None
        if mistakes := [*self._unfit_operands()]:
            raise ValueError("; ".join(mistakes))
        return self

    def _unknown_operands(self) -> Iterator[str]:
        names = [feature.name for feature in self.features]
        for place, feature in enumerate(self.derived):
            for name in feature.of:
                if name not in names:
                    yield f"derived[{place}].of: unknown feature {name!r}.{nearest(name, names)}"

    def _unfit_operands(self) -> Iterator[str]:
        types = {feature.name: feature.type for feature in self.features}
        for place, feature in enumerate(self.derived):
            kinds = {types[name] if types[name] in ("date", "string") else "number" for name in feature.of}
            if kinds != {"number"} and (feature.op, kinds) != ("difference", {"date"}):
                found = " and ".join(types[name] for name in feature.of)
                yield f"derived[{place}].of: there is no {feature.op} of {found}"
