"""The compiled twins of ``pellucid.ops``: the same functions, float32, for the CPU they run on.

``simd`` writes the one vector micro-kernel, ``gemm`` and ``convolve`` build products and convolutions of it, ``jit`` makes
machine code of them, which ``cache`` keeps, ``threads`` shares work among cores. ``IMPLEMENTATIONS`` is what ``pellucid.backend``
puts into its table: (name of the op, forward, backward, accepts), the most specialised first.
"""

from __future__ import annotations

from collections.abc import Callable

from . import (
    activation,
    add,
    ahead,
    augment,
    bfloat16,
    composed,
    concatenate,
    conv,
    conv_bfloat16,
    dense,
    dropout,
    fused,
    fused_norm,
    group_norm,
    loss,
    norm,
    passes,
    playback,
    pool,
    recording,
    rescale,
    simd_bfloat16,
    softmax,
    update,
    winograd,
)
from .threads import get_num_threads, set_num_threads
from .winograd import set_winograd, winograd_enabled

Implementation = tuple[str, Callable, Callable, Callable[..., bool]]

IMPLEMENTATIONS: list[Implementation] = [
    ("conv2d", winograd.conv2d, winograd.conv2d_backward, winograd.accepts_conv2d),
    ("conv2d", conv.conv2d, conv.conv2d_backward, conv.accepts_conv2d),
    ("conv2d_block", composed.winograd_block, composed.parted_block_backward, composed.accepts_winograd),
    ("conv2d_block", fused.conv2d_block, fused.conv2d_block_backward, fused.accepts_conv2d_block),
    ("conv2d_block", composed.any_block, composed.any_block_backward, composed.accepts_any),
    ("dense", dense.dense, dense.dense_backward, dense.accepts_dense),
    ("max_pool2d", pool.max_pool2d, pool.max_pool2d_backward, pool.accepts_max_pool2d),
    ("average_pool2d", pool.average_pool2d, pool.average_pool2d_backward, pool.accepts_average_pool2d),
    (
        "global_average_pool2d",
        pool.global_average_pool2d,
        pool.global_average_pool2d_backward,
        pool.accepts_global_pool2d,
    ),
    ("global_max_pool2d", pool.global_max_pool2d, pool.global_max_pool2d_backward, pool.accepts_global_max_pool2d),
    ("batch_norm", norm.batch_norm, norm.batch_norm_backward, norm.accepts_batch_norm),
    ("add", add.add, add.add_backward, add.accepts_add),
    (
        "concatenate",
        concatenate.concatenate,
        concatenate.concatenate_backward,
        concatenate.accepts_concatenate,
    ),
    ("rescale", rescale.rescale, rescale.rescale_backward, rescale.accepts_rescale),
    ("group_norm", group_norm.group_norm, group_norm.group_norm_backward, group_norm.accepts_group_norm),
    ("layer_norm", group_norm.layer_norm, group_norm.layer_norm_backward, group_norm.accepts_group_norm),
    ("dropout", dropout.dropout, dropout.dropout_backward, dropout.accepts_dropout),
    ("spatial_dropout", dropout.spatial_dropout, dropout.spatial_dropout_backward, dropout.accepts_dropout),
    (
        "batch_norm_block",
        fused_norm.batch_norm_block,
        fused_norm.batch_norm_block_backward,
        fused_norm.accepts_batch_norm_block,
    ),
    ("relu", activation.relu, activation.relu_backward, activation.accepts_elementwise),
    ("leaky_relu", activation.leaky_relu, activation.leaky_relu_backward, activation.accepts_elementwise),
    ("sigmoid", activation.sigmoid, activation.sigmoid_backward, activation.accepts_elementwise),
    ("tanh", activation.tanh, activation.tanh_backward, activation.accepts_elementwise),
    ("elu", activation.elu, activation.elu_backward, activation.accepts_elementwise),
    ("silu", activation.silu, activation.silu_backward, activation.accepts_elementwise),
    ("softmax", softmax.softmax, softmax.softmax_backward, activation.accepts_elementwise),
    (
        "softmax_cross_entropy",
        loss.softmax_cross_entropy,
        loss.softmax_cross_entropy_backward,
        loss.accepts,
    ),
    ("gelu", activation.gelu, activation.gelu_backward, activation.accepts_elementwise),
]

IN_BFLOAT16: list[Implementation] = [
    ("conv2d", conv_bfloat16.conv2d, conv_bfloat16.conv2d_backward, conv_bfloat16.accepts_conv2d),
    ("conv2d_block", composed.bfloat16_block, composed.parted_block_backward, composed.accepts_bfloat16),
]
"""Those that round what they multiply to 16 bits; they come first where that precision is asked for."""


def settings() -> tuple[int, bool]:
    """What decides which kernels run, and how, beside the arrays."""
    return get_num_threads(), winograd_enabled()


__all__ = [
    "IMPLEMENTATIONS",
    "IN_BFLOAT16",
    "ahead",
    "augment",
    "bfloat16",
    "get_num_threads",
    "passes",
    "playback",
    "recording",
    "set_num_threads",
    "set_winograd",
    "settings",
    "simd_bfloat16",
    "update",
    "winograd_enabled",
]
