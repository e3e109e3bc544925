"""Every command and Python block that a page, a report, a card or an error prints runs to its end.

Each page has a folder of its own, in which its commands run one after the other. The names that
they use stand for tiny models and files, and the Hub is a folder. Tutorials that make their own
files run as they stand, in `test_tutorials.py`.
"""

import csv
import html
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from datasets import Dataset, DatasetDict

from docs.test_recipes import rows_of
from fake_hub import install
from gelora.artifacts import ADAPTER_FOLDER, CONFIG_FILE, METRICS_FILE, PLAN_FILE, REPORT_FILE
from gelora.cli import main
from gelora.tasks.known import TASKS
from tiny_adapters import save_tiny_adapter
from tiny_chats import causal_llama, chat, chat_tokenizer
from tiny_models import save_tiny, tiny_bert, tiny_deberta, tiny_texts, tiny_tokenizer
from tiny_tasks import write_lines
from written_pages import ROOT, written_pages

PAGES = written_pages()
AS_THEY_STAND = ("docs/tutorials/your-csv.md", "docs/tutorials/causal-model.md")
PYTHON_ELSEWHERE = {
    "README.md": "test_readme.py and test_readme_heads.py",
    "docs/comparison.md": "test_comparison_page.py",
    "docs/cut.md": "test_cut_page.py",
    "docs/images-and-audio.md": "test_images_and_audio_page.py",
    "docs/sharing.md": "test_readme.py",
    "docs/training.md": "test_training_page.py",
}
"""Where the Python of the other pages runs."""
NOT_RUN = {
    "pip": "installs",
    "git": "fetches the repository",
    "make": "runs the tests, or the quick start, which has a test of its own",
    "export": "sets a token",
    "python": "runs the scripts of benchmarks/ and experiments/, which have tests of their own",
    "GELORA_LLAMA_CPP=llama.cpp": "runs a test",
}
"""Programs in console blocks that these tests do not run, with the reason."""
TOKENS = 512
SHORT = ["--max_steps", "4", "--per_device_train_batch_size", "4", "--quiet"]
SHORTER = {
    "run": [*SHORT, "--num_samples", "60"],
    "train": SHORT,
    "compare": [*SHORT, "--seeds", "0", "--methods", "gelora-paper"],
}
"""Added to a printed command so that it is short; what it does stays as printed."""


def lines_in(text):
    """Return the lines of a page's console blocks, each command on one line."""
    blocks = "".join(re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL))
    lines = [line.strip() for line in blocks.replace("\\\n", " ").splitlines()]
    alone = [re.sub(r"^accelerate launch .* -m gelora", "gelora", line) for line in lines]
    return [re.sub(r"\s+#.*$", "", line) for line in alone]


def commands_in(text):
    """Return the gelora commands of a page's console blocks, in their order."""
    return [line for line in lines_in(text) if line.startswith("gelora ")]


COMMANDS = {
    name: found
    for name, text in PAGES.items()
    if name not in AS_THEY_STAND and (found := commands_in(text))
}
REVIEWS = COMMANDS["README.md"]
PLAN = "gelora plan --output_dir runs/reviews"
BEFORE = {
    "docs/cut.md": REVIEWS,
    "docs/serving.md": [
        *REVIEWS,
        "gelora run --task_name alpaca --model_name_or_path MODEL --output_dir runs/chats",
    ],
    "docs/training.md": [REVIEWS[0].replace("gelora run", "gelora measure"), PLAN],
    "docs/method.md": [
        f"gelora measure --model_name_or_path roberta-base --train_file {file} "
        f"--text_columns review --output_dir runs/{name}"
        for name, file in (("before", "reviews.csv"), ("after", "held_out.csv"))
    ],
}
"""What a page takes as done."""
PACKAGED = ("docs/index.md",)
"""Pages that need the packaged model: the tiny tokenizer knows no word of the generated task."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Make a folder that holds all that the pages name, and go there."""
    monkeypatch.chdir(tmp_path)
    install(monkeypatch, tmp_path / "hub")
    tokenizer, writers = tiny_tokenizer(), chat_tokenizer()
    tokenizer.model_max_length = writers.model_max_length = TOKENS
    size = {"max_position_embeddings": TOKENS}
    for name in ("roberta-base", "sentence-transformers/all-MiniLM-L6-v2"):
        save_tiny(tiny_bert(**size), tokenizer, tmp_path / name)
    save_tiny_adapter(tmp_path / "some/adapter", tiny_bert(), task_type="FEATURE_EXTRACTION")
    save_tiny(tiny_deberta(**size), tokenizer, tmp_path / "microsoft/deberta-v3-base")
    for name in ("MODEL", "models/small-causal-model"):
        save_tiny(causal_llama(**size), writers, tmp_path / name)
    for name in ("reviews.csv", "held_out.csv"):
        rows = [[text, i % 3] for i, text in enumerate(tiny_texts(90, seed=len(name)))]
        with Path(name).open("w", newline="") as file:
            csv.writer(file).writerows([["review", "stars"], *rows])
    named = {"model_name_or_path": "roberta-base", "train_file": "reviews.csv"}
    columns = {"text_columns": ["review"], "label_column": "stars"}
    Path("reviews.yaml").write_text(yaml.safe_dump({**named, **columns}))
    texts = tiny_texts(120)
    write_lines(
        tmp_path / "chats.jsonl", messages=[chat(*texts[i : i + 2]) for i in range(0, 120, 2)]
    )
    asked = {"question_id": [1, 2], "category": ["math"] * 2, "turns": [["w2", "w3"]] * 2}
    write_lines(tmp_path / "question.jsonl", **asked)
    for recipe in ("configs/paper/deberta-v3-base/mrpc.yaml", "experiments/alpaca/alpaca.yaml"):
        Path(recipe).parent.mkdir(parents=True)
        Path(recipe).write_text((ROOT / recipe).read_text())
    save_data_sets()
    return tmp_path


def save_data_sets():
    """Leave a few rows where each data set of the Hub would be, as `save_to_disk` does."""
    texts = tiny_texts(192)
    alpaca = {"instruction": texts[::3], "input": [""] * 64, "output": texts[1::3]}
    squad = rows_of(TASKS["squad"], 64)
    glue = rows_of(TASKS["mrpc"], 64) | {"sentence": texts[::3]}
    for name, columns in (
        ("tatsu-lab/alpaca", alpaca),
        ("rajpurkar/squad", squad),
        ("nyu-mll/glue", glue),
    ):
        splits = {split: Dataset.from_dict(columns) for split in ("train", "validation")}
        DatasetDict(splits).save_to_disk(name)
    for name in ("train", "validation"):
        Path("data/alpaca").mkdir(parents=True, exist_ok=True)
        Dataset.from_dict(alpaca).to_json(f"data/alpaca/{name}.jsonl.gz", compression="gzip")
    for name in ("train.jsonl", "dev.jsonl"):
        write_lines(Path(name), **glue, **squad)  # of either task
    paragraphs = [
        {
            "context": context,
            "qas": [
                {"id": key, "question": question, "answers": [{"text": "w1", "answer_start": 0}]}
            ],
        }
        for key, question, context in zip(
            squad["id"], squad["question"], squad["context"], strict=True
        )
    ]
    official = {"version": "1.1", "data": [{"title": "w", "paragraphs": paragraphs}]}
    Path("dev-v1.1.json").write_text(json.dumps(official))
    Path("predictions.json").write_text(json.dumps(dict.fromkeys(squad["id"], "w1")))


def execute(command, *more):
    """Run a printed command; it must end well."""
    program, verb, *rest = shlex.split(command)
    assert program == "gelora"
    assert main([verb, *rest, *more, *SHORTER.get(verb, [])]) == 0, command


def test_every_block_runs_here_or_elsewhere():
    python = {name for name, text in PAGES.items() if "```python" in text}
    assert python == {*PYTHON_ELSEWHERE, *AS_THEY_STAND}
    programs = {line.split()[0] for text in PAGES.values() for line in lines_in(text) if line}
    assert programs == {"gelora", *NOT_RUN}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(COMMANDS))
@pytest.mark.usefixtures("place")
def test_the_commands_of_a_page_run(name):
    if name in PACKAGED:
        shutil.rmtree("sentence-transformers")
    for command in [*BEFORE.get(name, []), *COMMANDS[name]]:
        execute(command)


@pytest.mark.filterwarnings("ignore")
def test_what_a_run_prints_runs(place, capsys):
    execute(REVIEWS[0])
    capsys.readouterr()
    out = Path("runs/reviews")
    page, card = (out / REPORT_FILE).read_text(), (out / ADAPTER_FOLDER / "README.md").read_text()
    codes = re.findall(r"<code>(.*?)</code>", html.unescape(page), flags=re.DOTALL)
    codes += re.findall(r"```\w*\n(.*?)```", card, flags=re.DOTALL)
    printed = [code for code in codes if re.match(r"gelora [a-z]", code)]
    printed += re.findall(r"# To [a-z ]+: (gelora .*)", (out / CONFIG_FILE).read_text())
    assert any(command.startswith("gelora plan") for command in printed)
    for command in dict.fromkeys(printed):
        again = {"gelora run": ["--overwrite"]}.get(" ".join(command.split()[:2]), [])
        execute(command, *again)
    [planned] = {path.parent for path in Path("runs").glob("*/" + PLAN_FILE)} - {out}
    execute(f"gelora train --output_dir {planned}")
    execute(f"gelora evaluate --output_dir {planned}")
    trained = json.loads((planned / METRICS_FILE).read_text())
    assert trained["num_labels"] == 3
    assert (
        trained["trainable_parameters"]["adapter"]
        == json.loads((planned / PLAN_FILE).read_text())["trainable_parameters"]
    )
    whole = "\0".join(code for code in codes if code.startswith("from "))
    whole = whole.replace("FOLDER OF ", "")
    whole = whole.replace("FOLDER OR HUB ID OF THIS ADAPTER", f"{out}/{ADAPTER_FOLDER}")
    blocks = whole.split("\0")
    assert len(blocks) == 2
    for code in blocks:
        found = {}
        capsys.readouterr()
        exec(code, found)
        assert capsys.readouterr().out.strip() in found["model"].config.id2label.values()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("place")
def test_the_verbs_that_errors_name_get_past_them(capsys):
    model = ["--model_name_or_path", "roberta-base", "--train_file", "reviews.csv"]
    named = [*model, "--text_columns", "review", "--label_column", "stars"]
    done = []
    for _ in range(6):
        code = main(["report", "--output_dir", "out"])
        error = capsys.readouterr().err
        if code == 0:
            break
        verb = re.search(r"run `gelora (\w+)` first", error)[1]
        done.append(verb)
        execute(f"gelora {verb} --output_dir out", *(named if verb == "measure" else []))
    assert done == ["measure", "plan"]
    Path("out/hidden_states").mkdir()
    Path("out/dimension_profile.json").unlink()
    assert main(["measure", "--output_dir", "out"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    execute("gelora measure --output_dir out --overwrite")
