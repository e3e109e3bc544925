"""From a `DimensionProfile` to a LoRA rank for every step: no model and no data is needed."""

from gelora.ranks.plan import RankPlan, plan_ranks

__all__ = ["RankPlan", "plan_ranks"]
