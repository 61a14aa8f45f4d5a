"""What changed between a contract and what a source shows now, and whether the contract can still be read from it.

A column is renamed, rather than gone, when a column of a similar name that the contract does not know can be read in
its place. Everything but an added column breaks the contract.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_SIMILAR = 0.6
_WHOLE = ("tinyint", "smallint", "int", "bigint")
_READABLE: Mapping[str, tuple[str, ...]] = {
    "int": (*_WHOLE, "decimal"),
    "bigint": (*_WHOLE, "decimal"),
    "decimal": (*_WHOLE, "decimal"),
    "double": (*_WHOLE, "decimal", "float", "double"),
    "boolean": ("boolean",),
    "date": ("date", "timestamp", "timestamp_ntz"),
    "timestamp": ("timestamp", "timestamp_ntz", "date"),
}


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference.

    Attributes:
        column: as the contract names it, or as the source does when it was added.
        declared: the contract's type; empty for an added column.
        found: the source's type, or for a renamed column its new name; empty for a missing one.
    """

    kind: Literal["missing", "renamed", "incompatible", "added"]
    column: str
    declared: str
    found: str

    def __str__(self) -> str:
        """The line of a diff: - what the contract says, + what the source shows."""
        match self.kind:
            case "missing":
                return f"- {self.column} {self.declared}"
            case "renamed":
                return f"- {self.column} {self.declared}, + {self.found}"
            case "incompatible":
                return f"- {self.column} {self.declared}, + {self.column} {self.found}"
            case "added":
                return f"+ {self.column} {self.found}"


def drift(declared: Mapping[str, str], found: Mapping[str, str]) -> tuple[Drift, ...]:
    """Compare by name, in declared order; added columns come last.

    Args:
        declared: contract types by column.
        found: the source's types, as Spark names them, by column.
    """
    gone = [name for name in declared if name not in found]
    new = [name for name in found if name not in declared]
    differences: list[Drift] = []
    for name, type_name in declared.items():
        if name in found:
            if not readable(type_name, found[name]):
                differences.append(Drift("incompatible", name, type_name, found[name]))
            continue
        fitting = [other for other in new if readable(type_name, found[other])]
        alike = difflib.get_close_matches(name, fitting, n=1, cutoff=_SIMILAR) or fitting * (len(gone) == len(new) == 1)
        if alike:
            new.remove(alike[0])
            differences.append(Drift("renamed", name, type_name, f"{alike[0]} {found[alike[0]]}"))
        else:
            differences.append(Drift("missing", name, type_name, ""))
    return (*differences, *(Drift("added", name, "", found[name]) for name in new))


def readable(declared: str, found: str) -> bool:
    """Whether values of a source's type can be values of a contract's type at all; each is still checked by itself."""
    if declared == "string":
        return True
    return found.partition("(")[0] in _READABLE[declared.partition("(")[0]]
