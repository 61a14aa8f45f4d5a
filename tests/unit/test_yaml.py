"""What PyYAML would let pass or report about "<unicode string>"."""

from pathlib import Path

import pytest

from headwater.config.base import read_yaml
from headwater.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: {c: 1, d: 2}\na: 2\n", 3, "'a' stands twice"),
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 1\n", 5, "'c' stands twice"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "not valid YAML"),
        ("a: !!python/name:os.system\n", 1, "not valid YAML"),
    ],
    ids=["key twice", "nested key twice", "unclosed", "not safe"],
)
def test_a_mistake_is_named_with_file_and_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = tmp_path / "project.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_yaml(path)
    assert raised.value.code == "invalid_yaml"
    assert raised.value.facts == {"file": str(path), "line": line}
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_equal_keys_of_different_mappings_are_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "project.yaml"
    path.write_text("a: {x: 1}\nb: [{x: 1}, {x: 2}]\n")
    assert read_yaml(path) == {"a": {"x": 1}, "b": [{"x": 1}, {"x": 2}]}


def test_what_is_no_text_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "project.yaml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError) as raised:
        read_yaml(path)
    assert raised.value.code == "invalid_yaml"
