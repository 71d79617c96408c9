"""The textbook: every op of a convolutional network, forward and backward, in NumPy.

An op is two functions under one another: ``op(*arrays, **settings) -> (y, cache)`` and ``op_backward(dy, cache)``, which
returns the gradients of the loss by the array arguments, in their order. ``da`` is always the gradient of the loss by *a*.
Activations are (N, H, W, C). Every op runs in float32, float64 and complex128; this is what every compiled twin in
``pellucid.kernels`` is tested against.
"""

from .activation import (
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    leaky_relu,
    leaky_relu_backward,
    log_softmax,
    log_softmax_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softmax,
    softmax_backward,
    tanh,
    tanh_backward,
)
from .add import add, add_backward
from .concatenate import concatenate, concatenate_backward
from .conv import conv2d, conv2d_backward
from .dense import dense, dense_backward, flatten, flatten_backward
from .dropout import dropout, dropout_backward, spatial_dropout, spatial_dropout_backward
from .fused import batch_norm_block, batch_norm_block_backward, conv2d_block, conv2d_block_backward
from .group_norm import group_norm, group_norm_backward, layer_norm, layer_norm_backward
from .loss import (
    binary_cross_entropy,
    binary_cross_entropy_backward,
    categorical_cross_entropy,
    categorical_cross_entropy_backward,
    mean_squared_error,
    mean_squared_error_backward,
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_backward,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
)
from .norm import batch_norm, batch_norm_backward
from .pool import (
    average_pool2d,
    average_pool2d_backward,
    global_average_pool2d,
    global_average_pool2d_backward,
    global_max_pool2d,
    global_max_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from .rescale import rescale, rescale_backward

__all__ = [  # noqa: RUF022 - each op beside its derivative, in the order of a first reading
    "conv2d", "conv2d_backward",
    "max_pool2d", "max_pool2d_backward",
    "average_pool2d", "average_pool2d_backward",
    "global_average_pool2d", "global_average_pool2d_backward",
    "global_max_pool2d", "global_max_pool2d_backward",
    "dense", "dense_backward",
    "flatten", "flatten_backward",
    "batch_norm", "batch_norm_backward",
    "group_norm", "group_norm_backward",
    "layer_norm", "layer_norm_backward",
    "add", "add_backward",
    "concatenate", "concatenate_backward",
    "rescale", "rescale_backward",
    "dropout", "dropout_backward",
    "spatial_dropout", "spatial_dropout_backward",
    "relu", "relu_backward",
    "leaky_relu", "leaky_relu_backward",
    "sigmoid", "sigmoid_backward",
    "tanh", "tanh_backward",
    "elu", "elu_backward",
    "silu", "silu_backward",
    "gelu", "gelu_backward",
    "softmax", "softmax_backward",
    "log_softmax", "log_softmax_backward",
    "softmax_cross_entropy", "softmax_cross_entropy_backward",
    "categorical_cross_entropy", "categorical_cross_entropy_backward",
    "sigmoid_cross_entropy", "sigmoid_cross_entropy_backward",
    "binary_cross_entropy", "binary_cross_entropy_backward",
    "mean_squared_error", "mean_squared_error_backward",
    "conv2d_block", "conv2d_block_backward",
    "batch_norm_block", "batch_norm_block_backward",
]  # fmt: skip
