"""The rule of each operator of an exported graph: what it does to the labels of its tensors.

An operator that mixes the indices of a dimension, such as a matrix product, gives its result the labels of its weights. One
that keeps them joins the labels of its operands. What has no rule cannot be pruned.
"""

from __future__ import annotations

from tasks.compression.channels import contractions, layouts
from tasks.compression.channels.joint_labels import Rule, same

PARTS = ("split", "split_with_sizes", "chunk", "tensor_split", "unbind")
"""Operators whose results are parts of a tensor; others give all their results the same labels."""


def _table(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Rule] = {
    **_table(contractions.prelu, "prelu _prelu_kernel"),
    **_table(
        same,
        "dropout feature_dropout alpha_dropout native_dropout clone contiguous alias detach detach_ to _to_copy type_as "
        "softmax _softmax log_softmax _log_softmax _safe_softmax softmin cumsum cumprod masked_fill where zeros_like ones_like "
        "full_like rand_like "
        "randn_like empty_like lift_fresh lift_fresh_copy native_layer_norm layer_norm rms_norm silu gelu "
        "hardswish hardsigmoid hardtanh relu6 mish normalize add_ mul_ sub_ div_ relu_ hardswish_ silu_ clamp_ clip nan_to_num "
        "_assert_tensor_metadata sym_constrain_range",
    ),
    **_table(contractions.linear, "linear"),
    **_table(contractions.matmul, "matmul mm bmm addmm baddbmm mv"),
    **_table(contractions.convolution, "conv1d conv2d conv3d convolution _convolution"),
    **_table(contractions.transposed_convolution, "conv_transpose1d conv_transpose2d conv_transpose3d"),
    **_table(
        contractions.channel_norm,
        "batch_norm instance_norm _native_batch_norm_legit_no_training native_batch_norm",
    ),
    **_table(contractions.group_norm, "group_norm"),
    **_table(contractions.embedding, "embedding embedding_bag"),
    **_table(contractions.attention, "scaled_dot_product_attention"),
    **_table(contractions.recurrent, "lstm gru rnn_tanh rnn_relu"),
    **_table(layouts.concatenate, "cat concat concatenate"),
    **_table(layouts.stack, "stack"),
    **_table(layouts.split, "split split_with_sizes chunk tensor_split"),
    **_table(layouts.unbind, "unbind"),
    **_table(layouts.select, "select"),
    **_table(layouts.resized, "slice narrow constant_pad_nd pad reflection_pad1d reflection_pad2d replication_pad2d"),
    **_table(layouts.resized, "expand expand_as repeat tile"),
    **_table(layouts.reshape, "view reshape _unsafe_view flatten unflatten view_as reshape_as"),
    **_table(layouts.permute, "permute"),
    **_table(layouts.transpose, "transpose t mT swapaxes swapdims"),
    **_table(layouts.squeeze, "squeeze unsqueeze squeeze_"),
    **_table(
        layouts.reduce, "mean sum amax amin prod any all logsumexp var std argmax argmin max min linalg_vector_norm norm median"
    ),
    **_table(
        layouts.pool,
        "avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d max_pool2d_with_indices adaptive_avg_pool1d "
        "adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d lp_pool2d "
        "upsample_nearest1d upsample_nearest2d upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa",
    ),
    **_table(layouts.gather, "gather"),
    **_table(layouts.lookup, "index index_select"),
    **_table(contractions.einsum, "einsum"),
    **_table(layouts.created, "zeros ones full empty arange new_zeros new_ones new_full new_empty scalar_tensor rand randn"),
}
