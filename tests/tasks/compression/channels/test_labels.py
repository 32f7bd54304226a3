"""Labels follow every index of a tensor, through reshapes too."""

import numpy as np

from tasks.compression.channels.labels import FIXED, Labels, fixed


def test_joined_indices_have_one_root_and_what_meets_a_fixed_index_is_fixed() -> None:
    labels = Labels()
    one, other = labels.new(3), labels.new(3)
    labels.join(one, other)
    assert labels.roots(one).tolist() == labels.roots(other).tolist() == one.tolist()
    labels.fix(other[1:2])
    assert labels.roots(one).tolist() == [one[0], FIXED, one[2]]


def test_a_flattened_map_gives_each_channel_a_range_of_entries() -> None:
    labels = Labels()
    channels = labels.new(2)
    batch, flat = labels.reshape([fixed(5), channels, fixed(3)], (5, 6))
    assert batch.tolist() == [FIXED] * 5
    assert flat.tolist() == [channels[0]] * 3 + [channels[1]] * 3


def test_heads_share_the_channels_of_one_head_and_find_them_again_when_merged() -> None:
    labels = Labels()
    wide = labels.new(12)
    batch, kinds, heads, each = labels.reshape([fixed(4), wide], (4, 3, 2, 2))
    assert {len(batch), len(kinds), len(heads)} == {4, 3, 2}
    assert labels.is_fixed(kinds)
    assert labels.is_fixed(heads)
    assert labels.roots(wide).tolist() == np.tile(labels.roots(each), 6).tolist()
    merged = labels.reshape([fixed(4), heads, each], (4, 4))[1]
    assert labels.roots(merged).tolist() == np.tile(labels.roots(each), 2).tolist()


def test_a_split_across_a_boundary_of_dimensions_is_followed() -> None:
    labels = Labels()
    wide = labels.new(8)
    rows, each = labels.reshape([fixed(3), wide], (6, 4))
    assert len(rows) == 6
    assert labels.roots(each).tolist() == labels.roots(wide[:4]).tolist() == labels.roots(wide[4:]).tolist()


def test_sizes_without_common_factors_fix_everything() -> None:
    labels = Labels()
    wide = labels.new(6)
    assert [len(ids) for ids in labels.reshape([wide, fixed(2)], (4, 3))] == [4, 3]
    assert labels.is_fixed(wide)
