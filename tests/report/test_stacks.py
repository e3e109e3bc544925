from gelora.report.stacks import layer_names, short_names, stack_layouts
from report.example_run import example_profile

ENCODER = tuple(f"encoder.block.{i}" for i in range(3))
DECODER = tuple(f"decoder.block.{i}" for i in range(5))


def test_one_stack_takes_all_layers_and_needs_no_name():
    (layout,) = stack_layouts(example_profile())
    assert layout.name == ""
    assert list(layout.layers) == list(layout.positions) == list(range(13))
    assert list(layout.sublayers) == list(range(12))
    assert layout.labels()[:2] == ["embeddings", "block 1"]
    assert short_names(example_profile()) == layout.labels()


def test_two_stacks_share_out_layers_and_sublayers_and_stand_apart():
    profile = example_profile((ENCODER, DECODER))
    first, second = stack_layouts(profile)
    assert (first.name, second.name) == ("encoder", "decoder")
    assert [profile.layers[i] for i in first.layers] == ["encoder.embeddings", *ENCODER]
    assert [profile.layers[i] for i in second.layers] == ["decoder.embeddings", *DECODER]
    assert [profile.sublayers[i] for i in first.sublayers] == list(ENCODER)
    assert [profile.sublayers[i] for i in second.sublayers] == list(DECODER)
    assert second.positions[0] - first.positions[-1] == 2
    assert len(second.positions) == len(second.layers)
    assert second.labels() == ["decoder embeddings", *(f"decoder block {i}" for i in range(1, 6))]
    assert short_names(profile)[:2] == ["encoder emb", "encoder 1"]


def test_half_blocks_are_named_by_their_block_and_half():
    profile = example_profile((ENCODER, DECODER), granularity="sublayer")
    first, second = stack_layouts(profile)
    assert (len(first.sublayers), len(second.sublayers)) == (6, 10)
    assert [profile.sublayers[i] for i in second.sublayers][:2] == [
        "decoder.block.0/attention", "decoder.block.0/mlp",
    ]  # fmt: skip
    assert second.labels()[:3] == [
        "decoder embeddings", "decoder block 1 attention", "decoder block 1 MLP",
    ]  # fmt: skip
    assert layer_names(profile) == [*first.labels(), *second.labels()]
    assert short_names(profile)[-1] == "decoder 5 MLP"
    alone = example_profile((ENCODER,), granularity="sublayer")
    assert short_names(alone)[:3] == ["embeddings", "1 attention", "1 MLP"]
