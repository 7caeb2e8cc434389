"""Parameters in YAML are what a person reads there."""

import json

import pytest
import yaml

from wes_daemon.entrypoints.cli.documents_in_yaml import ChangedValue, load_json, load_yaml


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


@pytest.mark.parametrize(
    "text",
    ["a: 1\na: 2", '1: a\n"1": b', "x: {a: 1, a: 2}", "x: 3.14159265358979323846", "x: 1e999", f"x: {'9' * 5000}"],
    ids=["twice", "read alike", "within", "digits", "too great", "too long"],
)
def test_what_would_be_changed_is_refused(text: str) -> None:
    """C1"""
    with pytest.raises(ChangedValue):
        load_yaml(text)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "3.14159265358979323846", "1e400", "9" * 5000])
def test_what_would_be_changed_is_refused_in_json(text: str) -> None:
    """C1"""
    with pytest.raises(ChangedValue):
        load_json(text)


@pytest.mark.parametrize("text", ["0.30000000000000004", "1.50", "-0.0", "1e3", "5e-324", "9007199254740993"])
def test_numbers_that_can_be_kept_are(text: str) -> None:
    """C1"""
    assert load_json(text) == json.loads(text)


def test_a_name_may_replace_a_merged_one() -> None:
    document = "z: &z {x: 1}\nall: {a: &a {<<: *z, x: 2}}\nb: {<<: *a, x: 3}"

    assert load_yaml(document) == {"z": {"x": 1}, "all": {"a": {"x": 2}}, "b": {"x": 3}}


def test_merged_mappings_are_merged() -> None:
    assert load_yaml("a: &a {x: 1}\nb:\n  <<: *a\n  y: 2") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}


def test_tags_that_make_objects_are_refused() -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml("!!python/object/apply:os.getcwd []")
