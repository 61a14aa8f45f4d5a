"""Every error code that lib can raise has its line in docs/troubleshooting.md, with the exit code of its type."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import headwater.errors as errors
from headwater.pipelines.steps import Finding

ROOT = Path(__file__).parents[2]
TYPES = {
    name: int(found.exit_code)
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, errors.HeadwaterError)
}
CALLS = [
    node
    for path in sorted((ROOT / "lib").rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
]

NOT_MADE = {
    "bucket_opened_before": "needs a cluster that reads one bucket name at two endpoints",
    "demo_row_not_found": "needs a demo that another demo disturbs",
    "incompatible_server": "needs a server that this project does not start",
    "ledger_busy": "needs a store that refuses and yet does not move",
}


def texts_given_to(function: str, place: int) -> list[str]:
    given = [call.args[place] for call in CALLS if call.func.id == function and len(call.args) > place]
    return [each.value for each in given if isinstance(each, ast.Constant)]


def codes_of(argument: ast.expr) -> Iterator[str]:
    match argument:
        case ast.Constant(value=str(code)):
            yield code
        case ast.IfExp(body=body, orelse=orelse):
            yield from codes_of(body)
            yield from codes_of(orelse)
        case ast.Attribute(attr="gate"):
            yield from get_args(Finding.model_fields["gate"].annotation)
        case ast.JoinedStr(values=[ast.Constant(value="unknown_"), ast.FormattedValue(value=ast.Name(id="what"))]):
            kinds = {*texts_given_to("require", 4), *texts_given_to("unknown", 0)}
            yield from (f"unknown_{kind}" for kind in kinds)
        case _:
            message = f"line {argument.lineno}: this test does not know what code {ast.unparse(argument)} is"
            raise AssertionError(message)


def raised() -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for call in CALLS:
        if call.func.id in TYPES:
            for code in codes_of(call.args[0]):
                found.setdefault(code, set()).add(TYPES[call.func.id])
    return found


def documented() -> list[tuple[str, int]]:
    page = (ROOT / "docs/troubleshooting.md").read_text()
    return [(code, int(exit_code)) for code, exit_code in re.findall(r"^\| `(\w+)` \| (\d) \|", page, re.MULTILINE)]


def test_the_page_has_every_code_and_no_other() -> None:
    page, lib = {code for code, _ in documented()}, set(raised())
    assert lib - page == set(), "raised in lib, but not explained"
    assert page - lib == set(), "explained, but raised nowhere"
    assert len(documented()) == len(page)


def test_exit_codes_are_those_of_the_types() -> None:
    assert {code: {exit_code} for code, exit_code in documented()} == raised()


def test_every_mistake_of_a_user_is_made_by_a_test() -> None:
    """A message nobody has seen is a guess; exit code 1 is a bug of ours, and a test that could cause one would fix it."""
    texts = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py") if path.parent.name != "architecture")
    unmade = {code for code, exit_code in documented() if exit_code != 1 and not re.search(rf"\b{code}\b", texts)}
    assert unmade == set(NOT_MADE)
