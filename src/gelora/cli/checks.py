"""Refuse flags, files and columns that cannot be used, before a model or torch is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gelora.artifacts import PLAN_FILE, PROFILE_FILE, locate
from gelora.cli.config import READING, SOURCE, Config, values_of
from gelora.cli.record import check_folder, recorded_data
from gelora.errors import ConfigError, DataError
from gelora.hidden_states.files import check_checkpoint, model_of
from gelora.hub import is_hub_id
from gelora.tasks.columns import column
from gelora.tasks.tables import BINARY, is_saved, read_file

NEED_DATA = frozenset({"inspect", "measure", "train", "evaluate", "verify", "run"})
NEED_MODEL = NEED_DATA - {"evaluate"}
LARGEST_RANK = 1024
"""Largest budget of parameters that is taken for a rank."""
QUICK_BYTES = 1 << 24
"""Size of a file up to which its columns are looked at before anything is loaded."""


def check_flags(verb: str, config: Config) -> None:
    """Check the flags that any verb has, and the folder that a run writes its own files to.

    Raises:
        ConfigError: A number is out of its range, or two flags contradict each other.
        OutputExistsError: The folder holds what no run wrote.
    """
    values = values_of(config, verb)
    _check_inputs(verb, config)
    budget = config.ranks.budget
    if isinstance(budget, int) and budget <= LARGEST_RANK:
        raise ConfigError(
            f"--budget {budget} is a number of parameters, and no adapter has so few: did you mean "
            f"--budget r={budget}?"
        )
    if config.states.hidden_states is not None:
        _check_kept_states(verb, config, values)
    if config.model.load_in_4bit and config.model.load_in_8bit:
        raise ConfigError(
            "--load_in_4bit and --load_in_8bit are both given: leave out one of the two."
        )
    training = config.training
    if training.early_stopping_patience is not None and (
        training.eval_strategy == "no"
        or training.save_strategy not in (training.eval_strategy, "best")
    ):
        raise ConfigError(
            f"early_stopping_patience {training.early_stopping_patience} keeps the best of the "
            "checkpoints that were evaluated, so eval_strategy and save_strategy must be the same, "
            f"epoch or steps. Got {training.eval_strategy} and {training.save_strategy}."
        )
    if config.run.overwrite and config.resume is not None:
        raise ConfigError(
            "--overwrite removes the checkpoints that --resume_from_checkpoint "
            f"{config.training.resume_from_checkpoint} would go on from: leave out one of the two."
        )
    if verb not in ("evaluate", "export", "cut", "compare-profiles") and not config.run.overwrite:
        check_folder(config.folder)


def _check_inputs(verb: str, config: Config) -> None:
    """Check that what a verb begins from is named and there."""
    if verb == "train":
        _check_there(config.plan_source.plan or config.folder, PLAN_FILE)
    if verb == "plan":
        _check_there(config.profile_source.profile or config.folder, PROFILE_FILE)
    if verb == "cut" and not config.cut.goals and config.plan_source.plan is None:
        raise ConfigError(
            "Nothing says how far to cut: add --budget r=2, --energy 0.99, --tolerance 0.002 or "
            "--plan."
        )
    _check_model(verb, config)
    _check_files(config)
    _check_source(verb, config)
    _check_tables(config)


def _check_model(verb: str, config: Config) -> None:
    """Check the files of the model, if it is a local one that the verb is going to load."""
    name = config.model.model_name_or_path
    is_scored = config.answers.predictions is not None  # a file of answers, without a model
    if verb in NEED_DATA and name and not is_scored and config.states.hidden_states is None:
        check_checkpoint(model_of(name))


def _check_there(source: str | Path, filename: str) -> None:
    """Check that a file of another run is there, unless it has to be fetched from the Hub."""
    if isinstance(source, Path) or Path(source).exists() or not is_hub_id(source):
        locate(source, filename)  # raises where there is none


def _check_source(verb: str, config: Config) -> None:
    """Check that the model and the texts are named: the demo stands in for neither.

    `gelora run` alone, which names none of the two, is the demo.
    """
    kept = config.states.hidden_states is not None
    has_model, has_data = config.model.model_name_or_path is not None, config.names_data
    if verb not in NEED_DATA or kept or (verb == "run" and not has_model and not has_data):
        return
    lacks_model = verb in NEED_MODEL and not has_model
    if not lacks_model and has_data:
        return
    lacking = [
        *(["The model"] if lacks_model else []),
        *(["the data"] if not has_data else []),
    ]
    flags = [
        *(["--model_name_or_path"] if lacks_model else []),
        *(["--train_file, --dataset_name or --task_name"] if not has_data else []),
    ]
    recorded = recorded_data(config.folder) if not has_data else ""
    measured = f" Its dimensions were measured on {recorded}." if recorded else ""
    what = " and ".join(lacking)
    raise ConfigError(
        f"{what[0].upper()}{what[1:]} must be named, and {config.folder} remembers none: add "
        f"{' and '.join(flags)}.{measured} Only gelora run without flags is a demo."
    )


def _check_files(config: Config) -> None:
    """Check that the files of the data are there."""
    for name in ("train_file", "validation_file", "validation_mismatched_file"):
        path = getattr(config.data, name)
        if path is not None and not Path(path).exists():
            raise DataError(f"There is no file {path}, named by --{name}.")


def _check_tables(config: Config) -> None:
    """Check that the files can be read and hold the columns named, if that is quick to see."""
    data = config.data
    names = [*(data.text_columns or ()), *([data.label_column] if data.label_column else [])]
    for file in filter(None, (data.train_file, data.validation_file)):
        path = Path(file)
        is_small = path.is_file() and path.stat().st_size <= QUICK_BYTES
        if is_saved(path) or not (path.is_dir() or (is_small and path.suffix not in BINARY)):
            continue
        table = read_file(path)
        for name in names if file == (data.train_file or data.validation_file) else ():
            column(table, name)  # raises where there is none


def _check_kept_states(verb: str, config: Config, values: Mapping[str, Any]) -> None:
    if verb != "measure":
        raise ConfigError(
            f"--hidden_states {config.states.hidden_states} is for gelora measure: measure, "
            "and then plan and train in the same --output_dir."
        )
    decided = (READING | SOURCE | {"seed"}) & config.named
    redundant = [name for name in values if name in decided]
    if redundant:
        raise ConfigError(
            f"--{redundant[0]} {values[redundant[0]]} was decided when the states in "
            f"{config.states.hidden_states} were kept: leave it out, or --hidden_states."
        )
    if config.run.output_dir is None:
        raise ConfigError(
            "--hidden_states needs an --output_dir: the folder that the states lie in holds the "
            "profile that was measured with them."
        )
