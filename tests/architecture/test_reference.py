"""The configuration reference and the editors' schemas are what the models say, and the schemas accept our own conf/."""

import importlib
import json
from pathlib import Path

import jsonschema
import pytest

from headwater.config.base import read_yaml

ROOT = Path(__file__).parents[2]
KINDS = {"env": "env", "sources": "source", "tables": "table", "features": "features", "checks": "checks"}
FOLDERS = (ROOT / "conf", ROOT / "tests/e2e/projects/sensors/conf")
FILES = [(path, KINDS[path.parent.name]) for conf in FOLDERS for path in sorted(conf.glob("*/*.yaml"))]
FILES += [(conf / "project.yaml", "project") for conf in FOLDERS]


def schema(kind: str) -> dict[str, object]:
    return json.loads((ROOT / "docs/schemas" / f"{kind}.json").read_text())


def test_generated_files_are_those_that_are_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    generated = importlib.import_module("config_reference").reference()
    stale = [path for path, text in generated.items() if (ROOT / path).read_text() != text]
    assert stale == [], "run `make reference`"
    assert {path.name for path in (ROOT / "docs/schemas").iterdir()} == {
        Path(path).name for path in generated if path.endswith(".json")
    }


@pytest.mark.parametrize(("path", "kind"), FILES, ids=lambda each: str(each).removeprefix(f"{ROOT}/"))
def test_schemas_accept_what_the_models_accept(path: Path, kind: str) -> None:
    jsonschema.validate(read_yaml(path), schema(kind))


@pytest.mark.parametrize(
    ("path", "kind", "change"),
    [
        ("conf/sources/transactions.yaml", "source", {"watermrk": "updated_at"}),
        ("conf/sources/transactions.yaml", "source", {"slices": 0}),
        ("conf/sources/transactions.yaml", "source", {"kind": "kafka"}),
    ],
)
def test_schemas_refuse_mistakes(path: str, kind: str, change: dict[str, object]) -> None:
    document = read_yaml(ROOT / path)
    document["source"] |= change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema(kind))


def test_every_key_is_described() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |") or "A plain identifier." in row] == []
