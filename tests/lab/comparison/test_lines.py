"""A line is there whole or not at all, whatever a crash leaves."""

from dataclasses import dataclass

import pytest

from gelora.errors import ArtifactError
from gelora.lab.comparison.lines import append_line, read_lines


@dataclass(frozen=True)
class Record:
    name: str
    value: float


FIRST, SECOND = Record("a\nb", 0.1), Record("é", 2.0)


def test_what_is_appended_is_read(tmp_path):
    path = tmp_path / "x.jsonl"
    assert read_lines(path, Record) == []
    append_line(path, FIRST)
    append_line(path, SECOND)
    assert read_lines(path, Record) == [FIRST, SECOND]
    assert path.read_text().count("\n") == 2


def test_a_line_cut_anywhere_is_not_counted_and_goes(tmp_path):
    path = tmp_path / "x.jsonl"
    append_line(path, FIRST)
    whole = path.read_bytes()
    append_line(path, SECOND)
    both = path.read_bytes()
    for length in range(len(whole), len(both)):
        path.write_bytes(both[:length])
        assert read_lines(path, Record) == [FIRST]
        append_line(path, SECOND)
        assert path.read_bytes() == both


def test_a_line_of_another_kind_is_named(tmp_path):
    path = tmp_path / "x.jsonl"
    append_line(path, FIRST)
    with path.open("a") as file:
        file.write('{"name": "b"}\n')
    with pytest.raises(ArtifactError, match=r"Line 2 of .*x.jsonl is no Record .*value.*remove"):
        read_lines(path, Record)


def test_what_json_cannot_carry_is_refused_and_not_written(tmp_path):
    path = tmp_path / "x.jsonl"
    with pytest.raises(ArtifactError, match="A Record holds a value that JSON cannot carry"):
        append_line(path, Record("nan", float("nan")))
    assert not path.exists()
