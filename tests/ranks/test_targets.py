"""Targets that get no adapter of their own are refused with the reason."""

import pytest

from gelora.dimension.profile import NOT_LINEAR, BlockModule, LeftOut
from gelora.errors import RankError
from gelora.ranks.targets import select_modules

SHARED = LeftOut("attention.key", "shared between blocks", 1024)
EXPERTS = LeftOut("experts.up", NOT_LINEAR, 1024)
UP = BlockModule("layer.0.mlp.up", 0, "mlp", 32, 64)


def test_select_modules_refuses_a_name_that_is_left_out():
    with pytest.raises(RankError, match="named 'key' are shared between blocks.*leave them out"):
        select_modules([UP], ["up", "key"], left_out=[EXPERTS, SHARED])


def test_select_modules_refuses_where_all_targets_are_left_out():
    with pytest.raises(RankError, match=r"adapt \(attention.key\) are shared between blocks"):
        select_modules([UP], "attention", left_out=[EXPERTS, SHARED])


def test_select_modules_names_what_there_is_where_nothing_is_left_out():
    with pytest.raises(RankError, match="'attention' selects none of the 1 modules.*some of up"):
        select_modules([UP], "attention", left_out=[EXPERTS])
