"""From a `DimensionProfile` to a LoRA rank for every sublayer: no model and no data is needed."""

from gelora.ranks.comparing import ProfileComparison, compare_profiles
from gelora.ranks.plan import RankPlan, plan_ranks

__all__ = ["ProfileComparison", "RankPlan", "compare_profiles", "plan_ranks"]
