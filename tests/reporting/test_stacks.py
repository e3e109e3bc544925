from gelora.reporting.stacks import stack_layouts
from reporting.example_run import example_profile


def test_one_stack_takes_all_levels_and_needs_no_name():
    (layout,) = stack_layouts(example_profile())
    assert layout.name == ""
    assert list(layout.levels) == list(layout.positions) == list(range(13))
    assert list(layout.blocks) == list(range(12))
    assert layout.labels()[:2] == ["embeddings", "block 1"]


def test_two_stacks_share_out_levels_and_blocks_and_stand_apart():
    encoder = tuple(f"encoder.block.{i}" for i in range(3))
    decoder = tuple(f"decoder.block.{i}" for i in range(5))
    profile = example_profile((encoder, decoder))
    first, second = stack_layouts(profile)
    assert (first.name, second.name) == ("encoder", "decoder")
    assert [profile.levels[i] for i in first.levels] == ["embeddings", *encoder]
    assert [profile.levels[i] for i in second.levels] == ["embeddings", *decoder]
    assert [profile.blocks[i] for i in first.blocks] == list(encoder)
    assert [profile.blocks[i] for i in second.blocks] == list(decoder)
    assert second.positions[0] - first.positions[-1] == 2
    assert len(second.positions) == len(second.levels)
    assert second.labels() == ["decoder embeddings", *(f"decoder block {i}" for i in range(1, 6))]
