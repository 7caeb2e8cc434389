"""Parameters in YAML are what a person reads there."""

import pytest
import yaml

from wes_daemon.entrypoints.cli.documents_in_yaml import load_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2026-11-23", "2026-11-23"),
        ("1_000", "1_000"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-4", -4),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("~", None),
        ("", None),
        ("'4'", "4"),
        ("=", "="),
    ],
)
def test_a_plain_word_is_read_as_yaml_1_2_reads_it(text: str, value: object) -> None:
    found = load_yaml(f"x: {text}")

    assert found == {"x": value}
    assert isinstance(found, dict)
    assert type(found["x"]) is type(value)


def test_merged_mappings_are_merged() -> None:
    assert load_yaml("a: &a {x: 1}\nb:\n  <<: *a\n  y: 2") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}


def test_tags_that_make_objects_are_refused() -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml("!!python/object/apply:os.getcwd []")
