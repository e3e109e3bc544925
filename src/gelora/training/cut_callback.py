"""A callback that trains at a high rank first, cuts the adapter once, and trains on."""

import logging
import warnings
from typing import Any, Literal

from peft import PeftModel, get_peft_model_state_dict
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from gelora.cutting.adapter import check_can_be_cut
from gelora.cutting.directions import find_directions
from gelora.cutting.layers import live_factors
from gelora.cutting.live import cut_in_place
from gelora.cutting.order import budget_parameters, order_of
from gelora.errors import ConfigError
from gelora.exports.saved import SavedAdapter
from gelora.settings import checked, read_mean_budget

logger = logging.getLogger(__name__)


class CutCallback(TrainerCallback):
    """Cut a LoRA adapter in the middle of its training to the directions that it uses.

    Train at a uniform rank above the budget. After a share of the steps the directions of all
    modules compete by their weights, as in `gelora.cut`, and training goes on at the ranks that are
    kept, with the same schedule. It works with `transformers.Trainer` and TRL's trainers:

        model = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))
        trainer = Trainer(model, ..., callbacks=[CutCallback(budget="r=2", cut_at=0.3)])

    A checkpoint from before the cut is resumed as usual. One from after it has the ranks that were
    kept: make the model by `PeftModel.from_pretrained(base, checkpoint, is_trainable=True)`, and
    resume from the checkpoint with the same callback.

    Args:
        budget: Parameters after the cut: a number, or "r=2" for those of rank 2 in every module.
        cut_at: Share of all steps before the cut, between 0 and 1.
        optimizer_state: "project" carries the optimizer's averages over to the new factors, and
            "reset" starts them at zero.
        adapter_name: Which of the model's adapters.

    Raises:
        ConfigError: An argument is out of its range.
    """

    def __init__(
        self,
        *,
        budget: int | str,
        cut_at: float = 0.3,
        optimizer_state: Literal["project", "reset"] = "project",
        adapter_name: str = "default",
    ) -> None:
        read_mean_budget(budget)
        if not 0 < cut_at < 1:
            raise ConfigError(f"cut_at must be between 0 and 1. Got {cut_at!r}.")
        self.budget, self.cut_at, self.adapter_name = budget, cut_at, adapter_name
        kinds = Literal["project", "reset"]
        self.optimizer_state = checked("optimizer_state", optimizer_state, kinds)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **kwargs: Any,
    ) -> None:
        """Check that the adapter can be cut here.

        Raises:
            ConfigError: Several processes train together, or the model has no such adapter.
            RankError: The adapter is of a form that cannot be cut, or within the budget.
        """
        del control, kwargs
        if args.world_size > 1:
            raise ConfigError(
                f"CutCallback changes parameters that {args.world_size} processes share: train on "
                "one process, or cut after training with gelora.cut."
            )
        if not isinstance(model, PeftModel) or self.adapter_name not in model.peft_config:
            raise ConfigError(
                f"CutCallback needs a PeftModel with an adapter {self.adapter_name!r}. Got a "
                f"{type(model).__name__}."
            )
        if state.global_step < self._step(state):
            self._check_form(model)
            budget_parameters(self.budget, live_factors(model, self.adapter_name))

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Cut once, after the step that is due."""
        del args, control, kwargs
        if state.global_step == self._step(state):
            self.cut(model, optimizer)

    def cut(self, model: PeftModel, optimizer: Any = None) -> dict[str, int]:
        """Cut the adapter now, and return the ranks that are kept: for a loop of one's own.

        Args:
            model: With the adapter.
            optimizer: The torch optimizer that trains it, if there is one.

        Raises:
            RankError: The adapter is of a form that cannot be cut, the budget does not fit, or the
                adapter has learnt nothing yet.
        """
        self._check_form(model)
        factors = live_factors(model, self.adapter_name)
        budget = budget_parameters(self.budget, factors)
        directions = {name: find_directions(part.cpu()) for name, part in factors.items()}
        order = order_of(factors, directions)
        ranks = order.ranks(order.within_budget(budget))
        cut_in_place(
            model,
            directions,
            ranks,
            optimizer=optimizer,
            keeps_state=self.optimizer_state == "project",
            adapter_name=self.adapter_name,
        )
        kept = [rank for rank in ranks.values() if rank]
        logger.info(
            "The adapter is cut to ranks of %d to %d in %d of %d modules.",
            min(kept),
            max(kept),
            len(kept),
            len(ranks),
        )
        return ranks

    def _check_form(self, model: PeftModel) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT's of biases, which are refused
            tensors = get_peft_model_state_dict(model, adapter_name=self.adapter_name)
        adapter = SavedAdapter(model.peft_config[self.adapter_name].to_dict(), tensors)
        check_can_be_cut(adapter, "the model", instead="Train plain LoRA on Linear layers")

    def _step(self, state: TrainerState) -> int:
        return max(round(self.cut_at * state.max_steps), 1)
