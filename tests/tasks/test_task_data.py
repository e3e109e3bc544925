import json
import warnings

import datasets
import pytest
from datasets import Dataset, DatasetDict

from gelora.errors import ConfigError, DataError, SkippedRowsWarning
from gelora.tasks import load_task_data, loading, texts_of
from gelora.tasks.tables import Table
from tiny_tasks import write_lines


@pytest.fixture
def train_file(tmp_path):
    texts = [f"w{index} w{index + 1}" for index in range(40)]
    return write_lines(
        tmp_path / "train.jsonl", text=texts, label=[index % 2 for index in range(40)]
    )


def test_the_agreement_task_is_packaged_and_the_same_for_every_seed():
    data = load_task_data(task_name="agreement", seed=7)
    assert (len(data.train), len(data.validation)) == (4000, 1000)
    assert data.train.column_names == ["text", "label", "phenomenon"]
    assert data.label_names == ("unacceptable", "acceptable")
    assert (data.metrics, data.headline_metric) == (("accuracy",), "accuracy")
    assert data.provenance == load_task_data(task_name="agreement", seed=8).provenance
    assert data.provenance["train"]["packaged"] == "agreement"
    assert data.provenance["train"]["rows"] == 4000


def test_without_a_validation_file_a_tenth_is_held_out_by_seed(train_file):
    data = load_task_data(train_file=train_file, seed=1)
    assert data.name == "train"
    assert (len(data.train), len(data.validation)) == (36, 4)
    assert not set(data.train["text"]) & set(data.validation["text"])
    assert data.provenance["validation"]["held_out_fraction"] == 0.1
    assert data.provenance["validation"]["held_out_seed"] == 1
    assert data.provenance["validation"]["rows"] == 4
    again, other = (load_task_data(train_file=train_file, seed=seed) for seed in (1, 2))
    assert data.validation["text"][:] == again.validation["text"][:]
    assert data.validation["text"][:] != other.validation["text"][:]


def test_provenance_is_json_and_names_no_folder(tmp_path, train_file):
    data = load_task_data(train_file=train_file, validation_file=train_file)
    assert str(tmp_path) not in json.dumps(data.provenance)
    assert data.provenance["train"]["file"] == "train.jsonl"
    assert len(data.provenance["train"]["sha256"]) == 64
    assert data.provenance["validation"]["skipped"] == 0


def test_samples_are_drawn_by_seed_and_kept_in_order(train_file):
    every = load_task_data(train_file=train_file, validation_file=train_file)
    data, again, other = (
        load_task_data(
            train_file=train_file,
            validation_file=train_file,
            max_train_samples=10,
            max_eval_samples=5,
            seed=seed,
        )
        for seed in (1, 1, 2)
    )
    assert (len(data.train), len(data.validation)) == (10, 5)
    order = [every.train["text"][:].index(text) for text in data.train["text"]]
    assert order == sorted(set(order))
    assert data.train["text"][:] == again.train["text"][:] != other.train["text"][:]
    assert data.provenance["train"]["rows"] == 10


def test_a_task_gives_a_local_file_its_columns_labels_and_metrics(tmp_path):
    path = write_lines(
        tmp_path / "rte.jsonl",
        sentence1=["w1", "w2", "w3"],
        sentence2=["w4", "w5", "w6"],
        note=["x", "y", "z"],
        label=["entailment", "not_entailment", 1],
    )
    with pytest.raises(DataError, match=r"Column 'label' of rte.jsonl mixes names and numbers"):
        load_task_data(task_name="rte", train_file=path)
    path.write_text(path.read_text().replace('"label": 1', '"label": "entailment"'))
    data = load_task_data(task_name="rte", train_file=path, validation_file=path)
    assert texts_of(data.train) == [("w1", "w4"), ("w2", "w5"), ("w3", "w6")]
    assert data.train["label"][:] == [0, 1, 0]
    assert (data.name, data.headline_metric) == ("rte", "accuracy")


def test_rows_without_a_label_are_set_aside_and_counted(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", text=["a", "", "c", "d"], label=[0, "", 1, None])
    with pytest.warns(SkippedRowsWarning, match=r"a.jsonl has no label in 2 of 4 rows.*'', None"):
        data = load_task_data(train_file=path)
    assert sorted([*data.train["text"], *data.validation["text"]]) == ["a", "c"]
    assert data.provenance["train"]["skipped"] == 2


def test_no_label_at_all_and_one_row_alone_are_refused(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", text=["a", "b"], label=["", None])
    with pytest.raises(DataError, match="'label' of a.jsonl has no label in any of its 2 rows"):
        load_task_data(train_file=path)
    path = write_lines(tmp_path / "a.jsonl", text=["a"], label=[0.5])
    with pytest.raises(DataError, match="'label' of a.jsonl has one usable row alone"):
        load_task_data(train_file=path)


def test_labels_that_only_the_validation_file_has_are_named(tmp_path, train_file):
    path = write_lines(tmp_path / "b.jsonl", text=["a", "b"], label=[1, 2])
    with pytest.raises(
        DataError, match=r"of b.jsonl has labels that are no class: '2'; the classes are '0', '1'"
    ):
        load_task_data(train_file=train_file, validation_file=path)


def test_measuring_reads_the_very_texts_that_training_will(train_file):
    measured = load_task_data(train_file=train_file, labels_required=False, seed=3)
    trained = load_task_data(train_file=train_file, seed=3)
    assert measured.train["text"] == trained.train["text"]
    assert measured.validation["text"] == trained.validation["text"]


@pytest.mark.filterwarnings("ignore::gelora.errors.SkippedRowsWarning")
def test_measuring_sets_the_same_rows_aside_as_training(tmp_path):
    texts, labels = [f"w{index}" for index in range(40)], [0, 1, None, 1] * 10
    path = write_lines(tmp_path / "a.jsonl", text=texts, label=labels)
    measured = load_task_data(train_file=path, labels_required=False)
    trained = load_task_data(train_file=path)
    assert len(trained.train) == 27
    assert measured.train["text"][:] == trained.train["text"][:]


@pytest.mark.parametrize("labels", [["x", 1, "x", 1], ["x", "x", None, "x"], list("wxyz")])
def test_labels_that_training_would_refuse_leave_every_row_to_measure(tmp_path, labels, caplog):
    path = write_lines(tmp_path / "a.jsonl", text=["a", "b", "c", "d"], label=labels)
    data = load_task_data(train_file=path, validation_file=path, labels_required=False)
    assert texts_of(data.train) == ["a", "b", "c", "d"]
    assert data.num_labels == 0
    assert "every row is kept: Column 'label' of a.jsonl" in caplog.text


def test_a_label_column_that_is_named_is_not_left_out_in_silence(tmp_path, train_file):
    with pytest.raises(DataError, match="no column 'lable' in train.jsonl .*did you mean 'label'"):
        load_task_data(train_file=train_file, label_column="lable", labels_required=False)
    path = write_lines(tmp_path / "a.jsonl", text=["a", "b"], label=["x", 1])
    with pytest.raises(DataError, match="mixes names and numbers"):
        load_task_data(train_file=path, label_column="label", labels_required=False)


def test_load_task_data_keeps_minus_one_as_a_class_of_the_user_s_own(tmp_path):
    columns = {"text": list("abcdef"), "label": [-1, 0, 1] * 2}
    path = write_lines(tmp_path / "a.jsonl", **columns)
    data = load_task_data(train_file=path, validation_file=path)
    assert data.label_names == ("-1", "0", "1")
    assert data.train["label"][:] == [0, 1, 2] * 2
    with pytest.warns(SkippedRowsWarning, match="no label in 2 of 6 rows, which hold -1"):
        data = load_task_data(train_file=path, validation_file=path, missing_labels=["-1"])
    assert (data.label_names, len(data.train)) == (None, 4)


def test_load_task_data_reads_validation_labels_as_the_training_labels(tmp_path):
    train = write_lines(tmp_path / "a.jsonl", text=list("abcd"), label=["1.0", "x"] * 2)
    validation = write_lines(tmp_path / "b.jsonl", text=["e", "f"], label=["1.0", "1.0"])
    data = load_task_data(train_file=train, validation_file=validation)
    assert data.label_names == ("1.0", "x")
    assert data.validation["label"][:] == [0, 0]


def test_drop_empty_sets_empty_texts_aside_and_the_refusal_names_it(tmp_path):
    columns = {"text": ["a", " ", "c", "d"], "more": ["e", "f", None, "h"], "label": [0, 1, 1, 1]}
    path = write_lines(tmp_path / "a.jsonl", **columns)
    pairs = {"train_file": path, "validation_file": path, "text_columns": ["text", "more"]}
    with pytest.raises(DataError, match=r"1 of 4 texts .* \(rows 2\).*drop_empty"):
        load_task_data(**pairs)
    with pytest.warns(SkippedRowsWarning, match="2 of 4 rows of a.jsonl have an empty text"):
        data = load_task_data(**pairs, drop_empty=True)
    assert data.train["text"][:] == ["a", "d"]
    assert data.provenance["train"]["skipped"] == 2
    questions = {"question": ["q", ""], "context": ["c", "c"]}
    answers = [{"text": ["c"], "answer_start": [0]}] * 2
    path = write_lines(tmp_path / "q.jsonl", **questions, answers=answers)
    files = {"train_file": path, "validation_file": path, "task_type": "question_answering"}
    with pytest.warns(SkippedRowsWarning, match="1 of 2 rows of q.jsonl have an empty text"):
        data = load_task_data(**files, drop_empty=True)
    assert data.train["id"][:] == ["1"]


def test_load_task_data_takes_the_folder_of_a_saved_data_set_and_its_own_splits(tmp_path, caplog):
    caplog.set_level("INFO", logger="gelora")
    train = Dataset.from_dict({"text": list("abcd"), "label": ["x", "y"] * 2})
    validation = Dataset.from_dict({"text": ["e", "f"], "label": ["y", "x"]})
    DatasetDict(train=train, validation=validation).save_to_disk(tmp_path / "saved")
    for source in ({"train_file": tmp_path / "saved"}, {"dataset_name": str(tmp_path / "saved")}):
        data = load_task_data(**source)
        assert (data.name, len(data.train)) == ("saved", 4)
        assert data.validation["text"][:] == ["e", "f"]
    assert "saved [validation] is validated on" in caplog.text


def test_load_task_data_reads_nested_fields_by_dotted_names(tmp_path):
    rows = {"data": [{"text": t} for t in "abcd"], "meta": [{"label": i % 2} for i in range(4)]}
    path = write_lines(tmp_path / "a.jsonl", **rows)
    names = {"text_columns": ["data.text"], "label_column": "meta.label"}
    data = load_task_data(train_file=path, validation_file=path, **names)
    assert (data.train["text"][:], data.train["label"][:]) == (list("abcd"), [0, 1] * 2)


def test_without_labels_every_row_is_kept(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", text=["a", "b"], label=["x", None])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_task_data(train_file=path, labels_required=False)
    assert data.train.column_names == ["text"]
    assert (len(data.train), len(data.validation), data.num_labels) == (1, 1, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Nothing names the data: give task_name, dataset_name or train_file"),
        ({"task_name": "cole"}, "no task 'cole': did you mean cola"),
        (
            {"train_file": "a.csv", "dataset_name": "imdb"},
            r"a file \(a.csv\) or .*\(imdb\), not",
        ),
        ({"validation_file": "b.csv"}, r"validation_file \(b.csv\) needs a train_file"),
        ({"task_name": "agreement", "max_train_samples": 0}, "max_train_samples must be 1 or more"),
        ({"task_name": "agreement", "max_eval_samples": -3}, "max_eval_samples .* got -3"),
        ({"task_name": "agreement", "text_columns": []}, r"takes one column or two; got \[\]"),
        ({"task_name": "agreement", "text_columns": ["a", "b", "c"]}, r"got \['a', 'b', 'c'\]"),
    ],
)
def test_arguments_that_name_no_data_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        load_task_data(**arguments)


def test_glue_and_other_data_sets_are_asked_of_the_hub(monkeypatch):
    calls = []

    def read_split(*arguments):
        calls.append(arguments)
        columns = {"sentence": ["a", "b"] * 10, "label": [0, 1] * 10}
        splits = ("train", "validation") if arguments[0] == "nyu-mll/glue" else ("a", "test")
        return Table("hub", columns, ("sentence",), {"split": arguments[2]}, splits=splits)

    monkeypatch.setattr(loading, "read_split", read_split)
    assert load_task_data(task_name="cola").name == "cola"
    assert sorted(calls) == [
        ("nyu-mll/glue", "cola", "train"),
        ("nyu-mll/glue", "cola", "validation"),
    ]
    calls.clear()
    data = load_task_data(dataset_name="me/mine", dataset_config="en", dataset_train_split="a")
    assert (data.name, len(data.train), len(data.validation)) == ("me/mine", 18, 2)
    assert calls == [("me/mine", "en", "a")]
    calls.clear()
    load_task_data(dataset_name="me/mine", dataset_train_split="a", dataset_test_split="test")
    assert calls == [("me/mine", None, "a"), ("me/mine", None, "test")]


def test_a_data_set_without_a_validation_split_holds_rows_out_and_says_so(
    tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "mine"
    folder.mkdir()
    for split in ("train", "test"):
        write_lines(folder / f"{split}.jsonl", text=["a", "b"] * 10, label=[0, 1] * 10)
    caplog.set_level("INFO", logger="gelora")
    data = load_task_data(dataset_name=str(folder))
    assert (len(data.train), len(data.validation)) == (18, 2)
    said = [
        record.getMessage() for record in caplog.records if record.name.startswith("gelora.tasks")
    ]
    assert said == [
        f"{folder} has no split 'validation' (it has train, test): rows are held out.",
        f"{folder} [train]: 18 texts, 2 classes (0, 1); 2 held out to validate on",
    ]
    assert len(load_task_data(dataset_name=str(folder), dataset_test_split="test").validation) == 20
    message = (
        r"\[dev\] cannot be loaded: Unknown split \"dev\"\. Should be one of \['train', 'test'\]"
    )
    with pytest.raises(DataError, match=message):
        load_task_data(dataset_name=str(folder), dataset_test_split="dev")


def test_what_was_read_is_said_in_one_line(train_file, caplog):
    caplog.set_level("INFO", logger="gelora")
    load_task_data(train_file=train_file, validation_file=train_file, max_eval_samples=5)
    assert caplog.messages == ["train.jsonl: 40 texts, 2 classes (0, 1); 5 to validate on"]
    caplog.clear()
    plain = train_file.with_name("plain.jsonl")
    plain.write_text(train_file.read_text().replace("label", "gold"))
    load_task_data(train_file=plain, labels_required=False)
    warned, said = caplog.messages
    assert "'gold'" in warned
    assert said == "plain.jsonl: 36 texts, without labels; 4 held out to validate on"


def test_whole_numbers_are_predicted_where_it_is_said(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", text=["a", "b", "c", "d"], label=[1, -1, 2, 5])
    data = load_task_data(train_file=path, validation_file=path, task_type="regression")
    assert (data.problem, data.num_labels, data.headline_metric) == ("regression", 1, "pearson")
    assert data.validation["label"][:] == [1.0, -1.0, 2.0, 5.0]


def test_a_column_that_is_no_label_is_refused(tmp_path):
    names = [f"n{index}" for index in range(40)]
    path = write_lines(tmp_path / "a.jsonl", text=["w1"] * 40, name=names)
    message = "Column 'name' of a.jsonl has 40 different labels in 40 rows, too many for classes"
    with pytest.raises(DataError, match=message):
        load_task_data(train_file=path, text_columns=["text"], label_column="name")


def test_a_validation_folder_gives_its_validation_split_not_its_training_rows(tmp_path):
    train = Dataset.from_dict({"text": list("abcd"), "label": ["x", "y"] * 2})
    test = Dataset.from_dict({"text": ["e", "f"], "label": ["y", "x"]})
    DatasetDict(train=train, test=test).save_to_disk(tmp_path / "both")
    DatasetDict(train=train).save_to_disk(tmp_path / "train_alone")
    folder = tmp_path / "both"
    data = load_task_data(train_file=folder, validation_file=folder)
    assert data.validation["text"][:] == ["e", "f"]
    folder = tmp_path / "train_alone"
    with pytest.raises(DataError, match="train_alone/train"):
        load_task_data(train_file=folder, validation_file=folder)
    data = load_task_data(train_file=folder, validation_file=folder / "train")
    assert data.validation["text"][:] == list("abcd")


def class_label_file(path, names, labels):
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=names)
    )
    texts = [f"w{index}" for index in range(len(labels))]
    Dataset.from_dict({"text": texts, "label": labels}, features=features).to_parquet(path)
    return path


@pytest.mark.parametrize("as_words", [False, True])
def test_classes_in_another_order_are_matched_by_name(tmp_path, as_words):
    other = class_label_file(tmp_path / "b.parquet", ["yes", "no"], [0, 1, -1])
    train = class_label_file(tmp_path / "a.parquet", ["no", "yes"], [0, 1] * 2)
    if as_words:
        words = ["no", "yes"] * 2
        train = write_lines(tmp_path / "a.jsonl", text=list("abcd"), label=words)
    with pytest.warns(SkippedRowsWarning, match="-1"):
        data = load_task_data(train_file=train, validation_file=other)
    assert data.label_names == ("no", "yes")
    assert data.validation["label"][:] == [1, 0]


def test_classes_of_a_task_in_another_order_are_matched_by_name(tmp_path):
    path = class_label_file(tmp_path / "a.parquet", ["positive", "negative"], [0, 1])
    names = {"text_columns": ["text"], "train_file": path, "validation_file": path}
    assert load_task_data(task_name="sst2", **names).train["label"][:] == [1, 0]


def test_measuring_without_labels_says_which_columns_there_are(tmp_path, caplog):
    path = write_lines(tmp_path / "a.jsonl", text=["a", "b"] * 4, lable=["x", "y"] * 4)
    load_task_data(train_file=path, labels_required=False)
    assert "label_column" in caplog.text
    data = load_task_data(train_file=path, labels_required=False, label_column="lable")
    assert data.num_labels == 2


@pytest.mark.parametrize("labels", [[10**400, 1], [10**400, 0.5]])
def test_a_label_too_large_for_a_float_is_refused(tmp_path, labels):
    path = write_lines(tmp_path / "a.jsonl", text=list("abcd"), label=labels * 2)
    with pytest.raises(DataError, match="too large"):
        load_task_data(train_file=path, task_type="regression")
