import csv
import gzip
import hashlib
import json

import datasets
import pytest

from gelora.errors import DataError
from gelora.tasks.tables import is_saved, read_file, read_saved, read_split

ROWS = [{"text": "One, or two", "label": 0}, {"text": 'A "quoted"\nline', "label": 1}]


def write(path, content: str | bytes):
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def as_csv(rows) -> str:
    lines = [",".join(rows[0])]
    lines += [
        ",".join(f'"{str(v).replace(chr(34), chr(34) * 2)}"' for v in r.values()) for r in rows
    ]
    return "\n".join(lines) + "\n"


def as_lines(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (".csv", as_csv(ROWS)),
        (".json", json.dumps(ROWS, indent=1)),
        (".json", as_lines(ROWS)),
        (".jsonl", as_lines(ROWS)),
    ],
)
def test_every_format_gives_the_same_columns(tmp_path, kind, content, ending):
    path = write(tmp_path / f"rows{kind}{ending}", content)
    table = read_file(path)
    labels = ["0", "1"] if kind == ".csv" else [0, 1]
    assert table.columns == {"text": ["One, or two", 'A "quoted"\nline'], "label": labels}
    assert table.string_columns == ("text",)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert table.provenance == {"file": f"rows{kind}{ending}", "sha256": sha256}
    assert list(tmp_path.iterdir()) == [path]


def test_a_csv_text_that_looks_like_a_missing_value_stays_a_text(tmp_path):
    path = write(tmp_path / "a.csv", "\ufefftext,label\nNA,0\nNone,1\n\nnull,1\n")
    assert read_file(path).columns == {"text": ["NA", "None", "null"], "label": ["0", "1", "1"]}


def test_a_csv_column_of_numbers_and_blanks_is_no_column_of_texts(tmp_path):
    table = read_file(write(tmp_path / "a.csv", "idx,text,score\n1,7 up,0.5\n2,8,\n"))
    assert table.string_columns == ("text",)


def test_a_csv_field_may_be_long_and_the_reader_s_limit_is_left_as_it_was(tmp_path):
    limit = csv.field_size_limit()
    long = "word " * 50_000
    assert read_file(write(tmp_path / "a.csv", f"text\n{long}\n")).columns["text"] == [long]
    assert csv.field_size_limit() == limit


def test_a_json_line_may_hold_a_line_separator_and_lack_a_key(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a\u2028b"}\n\n{"text": "c", "label": 1}\n')
    assert read_file(path).columns == {"text": ["a\u2028b", "c"], "label": [None, 1]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"a\.csv holds no rows"),
        ("a.csv", "text,label\n", r"a\.csv holds no rows"),
        ("a.json", "[]", r"a\.json holds no rows"),
        ("a.csv", "text,label\na,0\nb,1,2\n", r"Line 3 of a\.csv has 3 fields, its header has 2"),
        ("a.csv", "text,text\na,b\n", r"a\.csv has two columns of one name.*\['text', 'text'\]"),
        ("a.csv", 'text\n"a\n', r"Line 2 of a\.csv is no CSV: unexpected end of data"),
        (
            "a.jsonl",
            '{"text": "a"}\n{"text": \n',
            r"Line 2 of a\.jsonl is no JSON: Expecting value",
        ),
        ("a.jsonl", '{"text": "a"}\n"b"\n', r"Line 2 of a\.jsonl is no JSON object but 'b'"),
        ("a.json", '[\n{"text": "a"},\n{]', r"Line 3 of a\.json is no JSON: Expecting property"),
        ("a.json", '[{"text": "a"}, 7]', r"Item 2 of a\.json is no JSON object but 7"),
        ("a.csv", b"text\n\xff\n", r"a\.csv is not UTF-8 \(byte 5 is 0xff\)"),
        ("a.xlsx", "", r"a\.xlsx must end in \.csv, .*\.parquet, .*\.gz or \.zst"),
        ("a.parquet.gz", "", r"a\.parquet\.gz must end in"),
        ("a.parquet", "PAR1", r"a\.parquet is no complete \.parquet file"),
        ("a.arrow", "ARROW", r"a\.arrow is no complete \.arrow file"),
        (
            "a.jsonl",
            '{"text": "a"}\n{"text": "b \\ud83d"}\n',
            r"Row 2 of a\.jsonl holds half a char",
        ),
        ("a.json", '[{"m": [{"content": "\\udc00"}]}]', r"Row 1 of a\.json holds half a char"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        read_file(write(tmp_path / name, content))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_read_file_tells_the_separator_of_a_csv_and_says_it(tmp_path, separator, caplog):
    caplog.set_level("INFO")
    rows = [["text", " label"], ["One, or; two", "a"], ['"quoted', "b"], ["a | b", "a"]]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    columns = read_file(tmp_path / "a.csv").columns
    assert columns == {"text": ["One, or; two", '"quoted', "a | b"], "label": ["a", "b", "a"]}
    assert ("is separated by" in caplog.text) == (separator != ",")


def test_read_file_keeps_one_column_of_texts_that_hold_separators(tmp_path):
    assert read_file(write(tmp_path / "a.csv", "text\na; b\nc; d\n")).columns == {
        "text": ["a; b", "c; d"]
    }


def test_read_file_reads_tabs_whatever_quotes_stand_between(tmp_path):
    path = write(tmp_path / "a.tsv", 'text\tlabel\n5" disk\ta\nsay "so, so\tb\n')
    assert read_file(path).columns == {"text": ['5" disk', 'say "so, so'], "label": ["a", "b"]}


@pytest.mark.parametrize("ends", ["\r\n", "\r", "\n"])
def test_read_file_takes_every_line_end_and_control_characters(tmp_path, ends):
    path = write(tmp_path / "a.csv", ends.join(["\ufefftext,label", "a\0\x01,0", "b,1", ""]))
    assert read_file(path).columns == {"text": ["a\0\x01", "b"], "label": ["0", "1"]}
    path = write(tmp_path / "a.jsonl", '\ufeff{"text": "a\x01", "label": 0}\r\n')
    assert read_file(path).columns == {"text": ["a\x01"], "label": [0]}


@pytest.mark.parametrize(
    "content",
    [
        {"data": ROWS},
        {"version": "1", "data": ROWS},
        {"text": [row["text"] for row in ROWS], "label": [0, 1]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_read_file_reads_one_object_of_rows_or_columns(tmp_path, content, indent):
    path = write(tmp_path / "a.json", json.dumps(content, indent=indent))
    assert read_file(path).columns == {"text": [r["text"] for r in ROWS], "label": [0, 1]}


def test_read_file_reads_one_indented_row(tmp_path):
    row = {"messages": [{"role": "user", "content": "a"}], "label": 1}
    path = write(tmp_path / "a.json", json.dumps(row, indent=2))
    assert read_file(path).columns == {"messages": [row["messages"]], "label": [1]}


@pytest.fixture
def labelled():
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["bad", "good"])
    )
    rows = {"text": ["a", "b", "c"], "label": [0, 1, 0]}
    return datasets.Dataset.from_dict(rows, features=features)


def test_read_file_reads_parquet_arrow_and_zst(tmp_path, labelled):
    zstandard = pytest.importorskip("zstandard")
    labelled.to_parquet(tmp_path / "a.parquet")
    labelled.save_to_disk(tmp_path / "saved")
    arrow = next((tmp_path / "saved").glob("*.arrow"))
    for path in (tmp_path / "a.parquet", arrow):
        table = read_file(path)
        assert table.columns == {"text": ["a", "b", "c"], "label": [0, 1, 0]}
        assert table.string_columns == ("text",)
        assert table.class_names == {"label": ("bad", "good")}
    packed = zstandard.compress(as_csv(ROWS).encode())
    assert read_file(write(tmp_path / "a.csv.zst", packed)).columns["label"] == ["0", "1"]
    with pytest.raises(DataError, match=r"b\.csv\.zst is no complete zstd file"):
        read_file(write(tmp_path / "b.csv.zst", b"text"))


def test_read_saved_takes_the_splits_of_the_folder(tmp_path, labelled):
    splits = {"train": labelled, "dev": labelled.select([0]), "test": labelled.select([1, 2])}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    assert is_saved(tmp_path / "saved")
    train, validation = read_saved(tmp_path / "saved")
    assert (train.source, list(train.columns["text"])) == ("saved [train]", ["a", "b", "c"])
    assert (validation.source, validation.columns["label"]) == ("saved [dev]", [0])
    assert train.class_names == {"label": ("bad", "good")}
    assert read_split(str(tmp_path / "saved"), None, "test").columns["text"] == ["b", "c"]
    with pytest.raises(DataError, match="saved has no split 'none'; it has 'train', 'dev', 'test'"):
        read_saved(tmp_path / "saved", "none")
    labelled.save_to_disk(tmp_path / "one")
    assert read_saved(tmp_path / "one")[1] is None


def test_values_finds_nested_fields_by_dotted_names(tmp_path):
    rows = [{"a.b": 1, "meta": {"x": {"label": 0}}}, {"a.b": 2, "meta": None}]
    table = read_file(write(tmp_path / "a.json", json.dumps(rows)))
    assert table.values("meta.x.label") == [0, None]
    assert table.values("a.b") == [1, 2]
    assert table.values("meta.y") is None
    assert table.values("none") is None


def test_a_truncated_or_false_gzip_file_is_refused(tmp_path):
    path = write(tmp_path / "a.csv.gz", "text\n" + "".join(f"row {i}\n" for i in range(999)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.csv\.gz is no complete gzip file"):
        read_file(path)
    path.write_bytes(b"text\na\n")
    with pytest.raises(DataError, match=r"a\.csv\.gz is no complete gzip file: .*incorrect header"):
        read_file(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"There is no file .*none\.csv"):
        read_file(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv cannot be read: Is a directory"):
        read_file(tmp_path / "folder.csv")


def hub_rows(monkeypatch, answer):
    calls = []

    def load_dataset(*args, **kwargs):
        calls.append((args, kwargs))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls


def test_a_hub_split_keeps_its_class_names_and_its_revision(monkeypatch):
    features = datasets.Features(
        sentence=datasets.Value("string"), label=datasets.ClassLabel(names=["bad", "good"])
    )
    rows = datasets.Dataset.from_dict({"sentence": ["a", "b"], "label": [0, 1]}, features=features)
    commit = "0123456789abcdef0123456789abcdef01234567"
    rows.info.splits = datasets.SplitDict(train=datasets.SplitInfo("train"))
    files = [{"filename": f"/cache/glue/cola/0.0.0/{commit}/glue-train.arrow"}]
    monkeypatch.setattr(datasets.Dataset, "cache_files", files)
    calls = hub_rows(monkeypatch, rows)
    table = read_split("nyu-mll/glue", "cola", "train")
    assert calls == [(("nyu-mll/glue", "cola"), {"split": "train"})]
    assert {name: list(values) for name, values in table.columns.items()} == rows.to_dict()
    assert table.string_columns == ("sentence",)
    assert table.splits == ("train",)
    assert table.class_names == {"label": ("bad", "good")}
    assert table.provenance == {
        "dataset": "nyu-mll/glue",
        "config": "cola",
        "split": "train",
        "revision": commit,
    }


def test_a_hub_split_that_cannot_be_loaded_is_refused(monkeypatch):
    hub_rows(monkeypatch, ValueError("Unknown split \"dev\".\nShould be one of ['train']."))
    with pytest.raises(
        DataError, match=r"nyu-mll/glue/cola \[dev\] cannot be .*Unknown split \"dev\"\. Should be"
    ):
        read_split("nyu-mll/glue", "cola", "dev")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        DataError, match=r"\[dev\] cannot be loaded: Unknown split \"dev\"\. Should"
    ):
        read_split("nyu-mll/glue", "cola", "dev")
    hub_rows(monkeypatch, ConnectionError("no network"))
    with pytest.raises(DataError, match=r"imdb \[train\] .*HF_HUB_OFFLINE is set\): no network"):
        read_split("imdb", None, "train")


def test_several_splits_at_once_are_refused(monkeypatch):
    hub_rows(monkeypatch, datasets.DatasetDict())
    with pytest.raises(DataError, match=r"imdb \[all\] is a DatasetDict, not one split"):
        read_split("imdb", None, "all")


def test_json_lines_may_end_in_lone_returns(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\r{"text": "b"}\r')
    assert read_file(path).columns == {"text": ["a", "b"]}


def test_a_json_number_of_too_many_digits_is_refused_with_its_line(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"label": 1}\n{"label": ' + "9" * 5000 + "}\n")
    with pytest.raises(DataError, match="Line 2"):
        read_file(path)
