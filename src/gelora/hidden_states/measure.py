"""From texts to a `DimensionProfile`: draw, tokenise, run the model on enough of them, estimate."""

import logging
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.distributed import ProcessGroup
from transformers import PreTrainedTokenizerBase

from gelora.dimension.layers import (
    MAX_SHARE_SET_ASIDE,
    LayerEstimates,
    LayerStates,
    estimate_layers,
)
from gelora.dimension.profile import DimensionProfile, LeftOut, StopReason, sublayer_names
from gelora.dimension.stability import LayerDiagnostics, assess_layers
from gelora.errors import ConfigError, DataError, DuplicateSamplesWarning, TooFewSamplesError
from gelora.hidden_states.architectures import (
    adapted_modules,
    find_architecture,
    find_backbone,
    input_embedding,
    model_fingerprint,
)
from gelora.hidden_states.batches import Texts, encode_texts
from gelora.hidden_states.growth import Ranks, growing_sizes, reason_to_stop
from gelora.hidden_states.hook_points import layer_names
from gelora.hidden_states.inputs import DrawnInputs, Inputs, are_inputs
from gelora.hidden_states.module_tree import without_wrapper
from gelora.hidden_states.outline import check_wrap, outline_of
from gelora.hidden_states.processes import all_processes, from_main, rank_in
from gelora.hidden_states.reach import unreached_modules
from gelora.hidden_states.reader import Drawn, DrawnTexts, Reader
from gelora.hidden_states.store import HiddenStatesRecord, HiddenStatesStore, open_states
from gelora.progress import progress_bar
from gelora.ranks.targets import select_modules
from gelora.settings import ESTIMATION, Count, MeasurementSettings, Seed, checked

logger = logging.getLogger(__name__)

_UNASSESSED = LayerDiagnostics(decimation=(), verdicts=(), biased_layers=(), top_variance_shares=())


@dataclass(frozen=True)
class Estimation:
    """How dimensions are estimated, and with which processes and device."""

    settings: MeasurementSettings
    device: torch.device | None = None
    group: ProcessGroup | None = None

    def _options(self, record: HiddenStatesRecord) -> dict[str, Any]:
        return {
            "layer_names": record.layers,
            "estimator": self.settings.estimator,
            "discard_fraction": self.settings.discard_fraction,
            "device": self.device,
            "process_group": self.group,
        }

    def estimate(self, layers: Sequence[LayerStates], record: HiddenStatesRecord) -> LayerEstimates:
        """Estimate the dimensions of the record's states."""
        sublayers = sublayer_names(record.blocks, record.settings.granularity)
        return estimate_layers(
            layers,
            first_layers=[i for i, layer in enumerate(record.layers) if layer not in sublayers],
            all_estimators=self.settings.all_estimators,
            **self._options(record),
        )

    def assess(
        self, layers: Sequence[LayerStates], estimates: LayerEstimates, record: HiddenStatesRecord
    ) -> LayerDiagnostics:
        """Judge the estimates, and warn of those that cannot be trusted."""
        return assess_layers(layers, estimates, seed=record.seed, **self._options(record))

    def profile(
        self,
        record: HiddenStatesRecord,
        estimates: LayerEstimates,
        diagnostics: LayerDiagnostics = _UNASSESSED,
    ) -> DimensionProfile:
        """Return the profile of what was measured, estimated and judged."""
        values: dict[str, Any] = {f.name: getattr(record, f.name) for f in fields(record)}
        del values["num_copies"], values["num_rows"]  # the profile counts copies and samples used
        values |= vars(diagnostics) | {"settings": self.settings}
        return DimensionProfile(
            **values,
            series=estimates.series,
            num_used=estimates.num_used,
            num_duplicates=record.num_copies + estimates.num_duplicates,
            num_near_duplicates=estimates.num_near_duplicates,
            constant_layers=estimates.constant_layers,
            log_mu_quantiles=estimates.log_mu_quantiles,
        )


def measure_dimensions(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase | None,
    texts: Texts | Inputs,
    settings: MeasurementSettings | None = None,
    *,
    ranks: Ranks | None = None,
    max_length: int | None = None,
    target_modules: str | Sequence[str] = "attention",
    keep_hidden_states: str | Path | None = None,
    overwrite: bool = False,
    seed: int = 0,
    progress: bool | None = None,
    **changes: Any,
) -> DimensionProfile:
    """Measure the intrinsic dimension of texts, images or audio after every block of a model.

    Each text drawn passes the model once, without its head. The model and the tokenizer leave as
    they came. The same call gives the same profile, to the last bit on one machine.

    Instead of texts, `texts` takes batches of the model's keyword inputs: a `DataLoader`, or a list
    of mappings of tensors, with `pixel_values`, `input_values`, `input_features`, `input_ids` and
    `attention_mask`, or `inputs_embeds`. Labels are dropped. Batches keep the loader's size, and
    `max_length` and `measure_batch_tokens` cannot be set. Where there is an `attention_mask`,
    pooling leaves out padding; otherwise it counts every position. The loader is read once to
    count and hash the samples, and again for each part that is measured, so it must give the same
    samples each time. Several processes each read all of the loader. The profile's `data` then
    holds `inputs_sha256`.

    The pooled states of all texts drawn are held: samples x width x layers x 4 bytes, in main
    memory or, with `keep_hidden_states`, on disk. The model's forward pass on one batch and, later,
    the search for neighbours in one layer come on top.

    Under torch.distributed every process calls with the same arguments: batches and the search
    are shared out, and each returns the profile that one process alone would, to the last bit.
    Each holds all states, or with `keep_hidden_states`, on one machine only, shares the files.

    Args:
        model: With or without a head, adapters, quantised weights; wherever it is placed.
        tokenizer: The model's own; None with batches of inputs, which do not use it.
        texts: Single texts, pairs of texts, `gelora.Chats`, or batches of inputs.
        settings: How to measure; by default `MeasurementSettings()`. An estimate is compressed a
            little less at more samples: compare profiles of the same number only.
        ranks: With `precision`, a function from a profile to ranks: measuring also stops when they
            have not changed over three growths; docs/method.md has how often that changes a rank.
            The profiles that it is called with are without verdicts, decimation, biased layers and
            variance shares.
        max_length: Tokens kept of each text; by default what the tokenizer and the model take.
        target_modules: What will be adapted, as in `plan_ranks`: checked here, before the cost.
        keep_hidden_states: A new folder for the states, to estimate from again without the model
            (`measure_hidden_states`).
        overwrite: Whether states kept there before are replaced, once these are complete.
        seed: Chooses the texts.
        progress: Whether to show a bar; None for a bar at a terminal or in a notebook, and a line
            of the log every ten seconds elsewhere.
        **changes: Fields of `MeasurementSettings` to change, such as `num_samples=1000`.

    Raises:
        ArchitectureError: No blocks, or no query, key, value and output where these are targets.
        ConfigError: An argument is out of its range, there is no tokenizer for texts, a setting
            has no effect on batches of inputs, or their loader shuffles.
        DataError: The texts are none, not text, empty, or not in the model's vocabulary; or
            batches hold no inputs of the model, or differ when they are read again.
        HiddenStatesError: The hidden states overflow, or too few of them differ.
        OSError: The disk has no room for the states.
        OutputExistsError: The folder for the states is there already.
        RankError: `target_modules` names a module that the blocks do not have, or that PEFT does
            not adapt.

    Warns:
        ConstantStatesWarning: Some layers do not vary.
        DuplicateSamplesWarning: More than 5 % of the texts, or of their states, are copies.
        SkippedRowsWarning: Some texts drawn are longer than the limit, and are cut.
        UnstableDimensionWarning: Some dimensions cannot be trusted.
    """
    settings = (settings or MeasurementSettings()).updated(changes)
    max_length = checked("max_length", max_length, Count | None)
    seed = checked("seed", seed, Seed)
    architecture, backbone = find_architecture(model), find_backbone(model)
    adapted_modules(architecture, target_modules)  # raises where there are none
    device = input_embedding(backbone).device
    settings = replace(
        settings,
        pooling=settings.pooling or ("last" if architecture.is_causal else "mean"),
        precision=settings.precision or None,
    )
    estimation = Estimation(settings, device if device.type == "cuda" else None)
    record = HiddenStatesRecord(
        layers=layer_names(architecture, settings.granularity),
        blocks=architecture.blocks,
        modules=architecture.modules,
        left_out=architecture.left_out,
        fingerprint=model_fingerprint(model),
        settings=settings,
        seed=seed,
        stopped_by="num_samples",
        num_texts=0,
        num_copies=0,
        num_rows=0,
        forward_tokens=0,
    )
    drawn = _draw(tokenizer, backbone, texts, settings, max_length=max_length, seed=seed)
    record = replace(record, data=drawn.data)
    num_drawn = len(drawn.keys)
    sizes = growing_sizes(num_drawn) if settings.precision else [num_drawn]
    with (
        all_processes() as group,
        HiddenStatesStore(
            num_drawn, folder=keep_hidden_states, overwrite=overwrite, group=group
        ) as store,
        progress_bar(
            num_drawn,
            description="Measuring",
            unit=_unit(record),
            shown=False if rank_in(group) > 0 else progress,
        ) as bar,
    ):
        if from_main(drawn.data, group) != drawn.data:
            raise DataError(
                "The processes read different batches, and each must read all of them: give "
                "every process the same loader, before accelerate prepares it."
            )
        dead = unreached_modules(backbone, architecture.modules, architecture.blocks, drawn.first)
        record = _without(record, dead, architecture.blocks)
        chosen = select_modules(record.modules, target_modules, left_out=record.left_out)
        outline = outline_of(without_wrapper(model))
        if outline is not None:
            check_wrap(outline, [f"{architecture.prefix}{module.name}" for module in chosen])
        reader = Reader(model, drawn, store, group, bar)
        estimation = replace(estimation, group=group)
        stop = partial(reason_to_stop, precision=settings.precision or 0.0, ranks=ranks)
        record, estimates = _measure_enough(sizes, reader, record, estimation, stop)
        trust = estimation.assess(store.first(record.num_rows), estimates, record)
        store.keep(record)
    _warn_of_copies(record)
    return estimation.profile(record, estimates, trust)


def _draw(
    tokenizer: PreTrainedTokenizerBase | None,
    backbone: nn.Module,
    texts: Texts | Inputs,
    settings: MeasurementSettings,
    *,
    max_length: int | None,
    seed: int,
) -> Drawn:
    """Draw texts and tokenise them, or draw samples from batches of inputs."""
    if isinstance(texts, Iterator):
        texts = list(texts)  # it can be read only once
    if are_inputs(texts):
        inputs = cast("Inputs", texts)
        return DrawnInputs(inputs, backbone, settings, max_length=max_length, seed=seed)
    rows = encode_texts(
        *(tokenizer, backbone, cast("Texts", texts)),
        num_samples=settings.num_samples,
        max_length=max_length,
        seed=seed,
    )
    tokenizer = cast("PreTrainedTokenizerBase", tokenizer)  # or encode_texts had raised
    return DrawnTexts(rows, tokenizer, settings.measure_batch_tokens)


def measure_hidden_states(
    folder: str | Path, settings: MeasurementSettings | None = None, **changes: Any
) -> DimensionProfile:
    """Measure from states that `measure_dimensions` kept, without the model.

    With the same estimator this gives the profile that was measured then, to the last bit on one
    machine. The layers stay on disk and are read as the search for neighbours goes through them.

    Args:
        folder: The store, or the folder of the run that holds it.
        settings: As for `measure_dimensions`; only `estimator`, `all_estimators` and
            `discard_fraction` count, the other settings are those of the states.
        **changes: These three fields to change, such as `estimator="gride_2"`.

    Raises:
        ArtifactError: There is no complete store.
        ConfigError: An argument is out of its range, or was decided when the states were kept.

    Warns:
        As `measure_dimensions`.
    """
    settings = (settings or MeasurementSettings()).updated(changes)
    record, layers = open_states(folder)
    decided = sorted(changes.keys() - set(ESTIMATION))
    if decided:
        raise ConfigError(
            f"{decided[0]} was decided when the states in {folder} were kept: leave it out, or "
            "measure the model again."
        )
    settings = record.settings.updated({name: getattr(settings, name) for name in ESTIMATION})
    device = torch.device("cuda") if torch.cuda.is_available() else None
    with all_processes() as group:
        estimation = Estimation(settings, device, group)
        estimates = estimation.estimate(layers, record)
        trust = estimation.assess(layers, estimates, record)
    _warn_of_copies(record)
    return estimation.profile(record, estimates, trust)


def _measure_enough(
    sizes: Sequence[int],
    reader: Reader,
    record: HiddenStatesRecord,
    estimation: Estimation,
    stop: Callable[[Sequence[DimensionProfile]], StopReason | None],
) -> tuple[HiddenStatesRecord, LayerEstimates]:
    """Measure ever more texts until there is a reason to stop: all of them, at the latest."""
    profiles: list[DimensionProfile] = []
    ahead = deque(sizes)
    while True:
        record = reader.read(ahead.popleft(), record)
        try:
            estimates = estimation.estimate(reader.store.first(record.num_rows), record)
        except TooFewSamplesError as error:
            if ahead:
                continue  # more texts may hold more that differ
            if record.num_copies:
                raise TooFewSamplesError(
                    f"{record.num_copies} of the {record.num_texts} {_unit(record)}s drawn are "
                    f"copies of others. {error}"
                ) from error
            raise
        profiles.append(estimation.profile(record, estimates))
        reason = stop(profiles) or (None if ahead else "num_samples")
        if reason is not None:
            return replace(record, stopped_by=reason), estimates


def _without(
    record: HiddenStatesRecord, dead: Collection[str], blocks: Sequence[str]
) -> HiddenStatesRecord:
    """Leave out modules that no gradient reaches, and say so."""
    if not dead:
        return record
    counts: dict[str, int] = {}
    for module in record.modules:
        if module.name in dead:
            name = module.name.removeprefix(f"{blocks[module.block]}.")
            size = module.in_features * module.out_features
            counts[name] = counts.get(name, 0) + size
    logger.info("No gradient reaches %s, which get no adapter.", ", ".join(sorted(counts)))
    more = tuple(LeftOut(name, "not reached by a gradient", n) for name, n in counts.items())
    return replace(
        record,
        modules=tuple(module for module in record.modules if module.name not in dead),
        left_out=(*record.left_out, *more),
    )


def _unit(record: HiddenStatesRecord) -> str:
    """Return what the record counts: the profile of texts gets its data from its caller."""
    return "sample" if record.data else "text"


def _warn_of_copies(record: HiddenStatesRecord) -> None:
    if record.num_copies > MAX_SHARE_SET_ASIDE * record.num_texts:
        warnings.warn(
            f"{record.num_copies} of the {record.num_texts} {_unit(record)}s drawn are copies of"
            " others and did not pass the model again; the estimates rest on the other"
            f" {record.num_rows}.",
            DuplicateSamplesWarning,
            stacklevel=3,
        )
