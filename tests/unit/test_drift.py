"""What a source shows against what a contract reads, case by case."""

import pytest

from headwater.contracts.drift import drift

DECLARED = {"id": "bigint", "amount": "decimal(12,2)", "at": "timestamp", "note": "string"}
SHOWN = {"id": "bigint", "amount": "decimal(12,2)", "at": "timestamp", "note": "string"}


def without(name: str) -> dict[str, str]:
    return {other: kind for other, kind in SHOWN.items() if other != name}


@pytest.mark.parametrize(
    ("shown", "lines"),
    [
        (SHOWN, []),
        (SHOWN | {"extra": "int"}, ["+ extra int"]),
        (without("amount"), ["- amount decimal(12,2)"]),
        (without("amount") | {"amount_usd": "decimal(14,2)"}, ["- amount decimal(12,2), + amount_usd decimal(14,2)"]),
        (without("amount") | {"total": "decimal(12,2)"}, ["- amount decimal(12,2), + total decimal(12,2)"]),
        (
            without("amount") | {"total": "decimal(12,2)", "more": "int"},
            ["- amount decimal(12,2)", "+ total decimal(12,2)", "+ more int"],
        ),
        (without("amount") | {"amount_text": "string"}, ["- amount decimal(12,2)", "+ amount_text string"]),
        (SHOWN | {"amount": "string"}, ["- amount decimal(12,2), + amount string"]),
        (SHOWN | {"id": "int", "amount": "bigint", "at": "date", "note": "int"}, []),
        (SHOWN | {"id": "double"}, ["- id bigint, + id double"]),
        ({}, ["- id bigint", "- amount decimal(12,2)", "- at timestamp", "- note string"]),
    ],
    ids=[
        "equal", "added", "missing", "renamed alike", "renamed as the only one", "gone among new ones",
        "a new name of another type", "incompatible", "readable types", "fractions for a whole number", "nothing left",
    ],
)  # fmt: skip
def test_differences_by_kind(shown: dict[str, str], lines: list[str]) -> None:
    assert [str(each) for each in drift(DECLARED, shown)] == lines
