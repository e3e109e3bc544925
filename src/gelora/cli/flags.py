"""The flags: one frozen dataclass for each group, those of single verbs last.

A field is a flag, a key of the YAML file, a type and a line of help. Its annotation is the only
check of its value. Names are those of Hugging Face, each used once over all groups.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from gelora.settings import Count, EstimatorName, Natural, Seed, Settings

Dropout = Annotated[float, Meta(ge=0, lt=1, description="a share, 0 or more and below 1")]


@dataclass(frozen=True)
class ModelFlags:
    """The model."""

    model_name_or_path: str | None = None
    """Hub id or local folder; None is sentence-transformers/all-MiniLM-L6-v2, or with `evaluate`
    the model that the adapter names."""
    model_revision: str | None = None
    """Branch, tag or commit on the Hub."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; auto is the one they are stored in."""
    attn_implementation: str | None = None
    """As in transformers: eager, sdpa, flash_attention_2, ..."""
    trust_remote_code: bool = False
    """Run code that comes with the model. A token, if one is needed, is read from HF_TOKEN."""
    config_overrides: str | None = None
    """Settings of the model's config, as cls_dropout=0.1,attention_dropout=0."""
    load_in_4bit: bool = False
    """Load the frozen weights in 4 bits (NF4, double quantisation), as QLoRA does."""
    load_in_8bit: bool = False
    """Load the frozen weights in 8 bits."""
    chat_template_path: str | None = None
    """Jinja file, or folder of a tokenizer, whose chat template replaces the model's."""


@dataclass(frozen=True)
class DataFlags(Settings):
    """The texts and labels: a known task, a Hub dataset, or files."""

    task_name: str | None = None
    """agreement (generated, the default), cola, sst2, mrpc, qqp, stsb, mnli, qnli, rte, wnli,
    squad, squad_v2, alpaca or, to evaluate, mt_bench."""
    dataset_name: str | None = None
    """Dataset on the Hub, instead of a task."""
    dataset_config: str | None = None
    """Configuration of the Hub dataset."""
    dataset_train_split: str = "train"
    """Split to measure and train on."""
    dataset_test_split: str | None = None
    """Split to evaluate on; None is validation, or a tenth of the training rows."""
    train_file: str | None = None
    """CSV with any separator, JSON, JSON lines, Parquet or Arrow, .gz and .zst too, or a folder of
    save_to_disk, to measure and train on."""
    validation_file: str | None = None
    """File or folder to evaluate on, in the same formats."""
    validation_mismatched_file: str | None = None
    """MNLI's second set to evaluate on."""
    text_columns: tuple[str, ...] | None = None
    """One column of texts, or two for pairs; the task's own if None."""
    label_column: str | None = None
    """Column of labels, or a field in one as meta.label; the task's own if None."""
    missing_labels: tuple[str, ...] | None = None
    """Labels that mean "no label", as nan NA -1; None is blank, null and NaN, and among numbers the
    usual texts for NaN."""
    drop_empty: bool = False
    """Set rows with an empty text aside and count them, instead of refusing."""
    task_type: (
        Literal["classification", "regression", "question_answering", "instruction_tuning"] | None
    ) = None
    """What the model is trained for; None decides by the task, or by whether labels are classes."""
    max_length: Count = 256
    """Tokens after which a text, or a pair, is cut."""
    max_train_samples: int | None = None
    """Use no more rows than this to measure and train."""
    max_eval_samples: int | None = None
    """Use no more rows than this to evaluate."""


@dataclass(frozen=True)
class StatesFlags:
    """Hidden states that are kept, to compare estimators without a second pass."""

    keep_hidden_states: bool = False
    """Keep the pooled states in the run's folder."""
    hidden_states: str | None = None
    """Folder of states kept before: estimate from them, without a model."""


@dataclass(frozen=True)
class LoraFlags(Settings):
    """Settings of peft.LoraConfig that the ranks leave open."""

    lora_dropout: Dropout = 0.0
    """Dropout before the adapters."""
    use_rslora: bool = False
    """Save alphas for rank-stabilised LoRA; the scale stays --scaling."""
    use_dora: bool = False
    """Weight-decomposed LoRA."""
    init_lora_weights: bool | str = True
    """True, gaussian, olora, pissa, ..."""
    modules_to_save: tuple[str, ...] | None = None
    """Other modules to train in full; a new head is trained anyway."""
    target_parameters: tuple[str, ...] | None = None
    """Experts that are one parameter, as mlp.experts.down_proj, to adapt at their block's rank."""


@dataclass(frozen=True)
class TrainingFlags(Settings):
    """Training. Every other flag of transformers.TrainingArguments is passed on to it."""

    learning_rate: float = 1e-3
    """Peak learning rate."""
    num_train_epochs: float = 5.0
    """Passes over the training data."""
    per_device_train_batch_size: Count = 16
    """Texts per step on each device."""
    warmup_steps: float = 0.06
    """Steps of rising learning rate; below 1, a share of all steps."""
    logging_steps: float = 0.02
    """Steps between two points of the training curve; below 1, a share of all steps."""
    eval_strategy: Literal["no", "steps", "epoch"] = "epoch"
    """When to evaluate during training."""
    save_strategy: Literal["no", "steps", "epoch", "best"] = "epoch"
    """When to write a checkpoint that training can resume from."""
    save_total_limit: int = 1
    """Checkpoints to keep."""
    early_stopping_patience: Count | None = None
    """Stop after so many evaluations without a better headline metric, and keep the best."""
    dimension_steps: Count | None = None
    """Measure the dimensions again every so many training steps, and log them."""
    resume_from_checkpoint: str | None = None
    """true to go on from the last checkpoint of the output folder, or a checkpoint's folder."""


@dataclass(frozen=True)
class EvaluationFlags(Settings):
    """Evaluation."""

    per_device_eval_batch_size: Count = 64
    """Texts in one forward pass."""


@dataclass(frozen=True)
class RunFlags(Settings):
    """Where results go, and how the command behaves."""

    output_dir: str | None = None
    """Folder of the run; None is runs/TASK-MODEL."""
    seed: Seed = 42
    """Decides every random choice."""
    config: str | None = None
    """YAML file, one key per flag; flags on the command line override it."""
    overwrite: bool = False
    """Do again, and replace, what the output folder already holds."""
    json: bool = False
    """Print one JSON object instead of tables."""
    quiet: bool = False
    """No progress and no logs, only warnings and errors."""
    verbose: bool = False
    """All logs, and the traceback of an error."""
    debug: bool = False
    """The traceback of an error."""


@dataclass(frozen=True)
class AnswerFlags(Settings):
    """Answers to score, or to write for a judge."""

    predictions: str | None = None
    """File of answers to score instead of a model's, as the official SQuAD evaluator takes it."""
    na_prob_file: str | None = None
    """File with the probability that each question has no answer, as that evaluator takes it."""
    answer_file: str | None = None
    """Output file for answers. None writes answers to mt_bench to model_answer/MODEL.jsonl in the
    run's folder, and does not write answers to SQuAD."""
    max_new_tokens: int = 1024
    """Maximum tokens of an answer to mt_bench."""


@dataclass(frozen=True)
class ExportFlags:
    """What an adapter is exported to: one or more of these."""

    uniform: str | None = None
    """One rank for all modules, padded with zeros: 8, 16, 32, 64, 128, 256 or 512; without a value
    the smallest that fits."""
    merged: bool = False
    """The whole model, with the adapter merged into its weights."""
    untrained: bool = False
    """The planned adapter before training, for trainers that take a folder."""
    axolotl: bool = False
    """The plan as keys of an axolotl YAML file."""
    peft: bool = False
    """The plan as adapter_config.json alone."""
    export_dir: str | None = None
    """Folder of the exports; None is export in the run's folder. Without --output_dir the run is
    that of --adapter or --plan."""


@dataclass(frozen=True)
class CutFlags(Settings):
    """Where the cut adapter goes, and whether it is trained further."""

    cut_dir: str | None = None
    """Folder of the cut adapter; None is cut in the run's folder."""
    finish_steps: Natural = 0
    """Optimizer steps of training after the cut, with the flags of training."""


@dataclass(frozen=True)
class ProfileSource:
    """Where the dimensions come from."""

    profile: str | None = None
    """File, folder or Hub id of a dimension profile; None is the output folder's."""


@dataclass(frozen=True)
class ProfilePair:
    """Which profiles are compared: gelora compare-profiles BEFORE AFTER."""

    before: str | None = None
    """File, folder or Hub id of the first profile."""
    after: str | None = None
    """File, folder or Hub id of the second profile."""
    by_estimator: EstimatorName | None = None
    """Whose dimensions are compared, if both profiles have them; None is the first's own."""


@dataclass(frozen=True)
class PlanSource:
    """Where the ranks come from."""

    plan: str | None = None
    """File, folder or Hub id of a rank plan; None is the output folder's."""


@dataclass(frozen=True)
class AdapterSource:
    """Which adapter is used."""

    adapter: str | None = None
    """Folder of an adapter; None is the output folder's."""


@dataclass(frozen=True)
class ComparisonFlags(Settings):
    """What is compared."""

    tasks: tuple[str, ...] = ("agreement",)
    """Names of tasks, or YAML files of a task's settings as gelora run takes them."""
    methods: tuple[str, ...] | None = None
    """gelora, lora-r1 and lora-r2 are always there; None is all, or gelora-paper with --vary."""
    budgets: tuple[str, ...] = ("paper",)
    """--budget for short. Trainable parameters: a number, r=2, or paper for those of its ranks."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of training; the data are the same for all."""
    learning_rates: tuple[float, ...] = ()
    """Learning rates to try for each method on a part of the training data; without any, the task's
    own is used."""
    vary: str | None = None
    """One method over a setting: rounding=up,down; target_modules=query+value,all-linear."""
    engine: Literal["local", "ray"] = "local"
    """Where runs go: to processes of this machine, or to a Ray cluster."""
    processes: Count = 1
    """Runs at a time."""
