"""Mistakes are answered with what was given, what was wanted, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pellucid import ops
from pellucid.differentiation import gradient_errors
from pellucid.errors import PellucidError, ShapeError
from pellucid.ops import shape
from pellucid.ops.loss import one_hot

X = np.zeros((2, 5, 6, 3))
KERNEL = np.zeros((3, 3, 3, 4))
LOSSES = [
    "softmax_cross_entropy",
    "categorical_cross_entropy",
    "sigmoid_cross_entropy",
    "binary_cross_entropy",
    "mean_squared_error",
]

SHAPES: list[tuple[str, Callable[[], Any], list[str]]] = [
    ("strides of zero", lambda: ops.conv2d(X, KERNEL, strides=0), ["strides was 0", "at least 1"]),
    ("three strides", lambda: ops.conv2d(X, KERNEL, strides=(1, 1, 1)), ["strides was (1, 1, 1)", "one or two"]),
    ("broken strides", lambda: ops.conv2d(X, KERNEL, strides=1.5), ["strides was 1.5", "whole numbers"]),
    ("no strides", lambda: ops.conv2d(X, KERNEL, strides=None), ["strides was None", "whole numbers"]),
    ("words as strides", lambda: ops.conv2d(X, KERNEL, strides="ab"), ["strides was 'ab'", "whole numbers"]),
    ("dilation of zero", lambda: ops.conv2d(X, KERNEL, dilation=(1, 0)), ["dilation was (1, 0)", "at least 1"]),
    ("unknown padding", lambda: ops.conv2d(X, KERNEL, padding="full"), ["padding was 'full'", "'valid', 'same'"]),
    ("negative padding", lambda: ops.conv2d(X, KERNEL, padding=-1), ["padding was -1", "none negative"]),
    ("a negative side", lambda: ops.conv2d(X, KERNEL, padding=((0, 0), (0, -1))), ["((0, 0), (0, -1))", "negative"]),
    ("three paddings", lambda: ops.conv2d(X, KERNEL, padding=(1, 1, 1)), ["(1, 1, 1)", "(vertical, horizontal)"]),
    ("broken padding", lambda: ops.conv2d(X, KERNEL, padding=0.5), ["padding was 0.5", "a whole number"]),
    ("broken paddings", lambda: ops.conv2d(X, KERNEL, padding=(0.5, 1)), ["padding was (0.5, 1)", "a whole number"]),
    ("no padding", lambda: ops.conv2d(X, KERNEL, padding=None), ["padding was None", "'valid'"]),
    (
        "a window too large",
        lambda: ops.conv2d(X, np.zeros((7, 7, 3, 4))),
        ["7x7", "5x6", "'valid'", "smaller window", "padding='same'"],
    ),
    (
        "a dilated window too large",
        lambda: ops.conv2d(X, KERNEL, dilation=3),
        ["3x3", "dilation (3, 3)", "5x6", "smaller window"],
    ),
    (
        "no batch axis",
        lambda: ops.conv2d(X[0], KERNEL),
        ["x of shape (5, 6, 3)", "(3, 3, 3, 4)", "(N, H, W, CI)", "(KH, KW, CI / groups, CO)"],
    ),
    ("a flat kernel", lambda: ops.conv2d(X, KERNEL[0]), ["(2, 5, 6, 3)", "(3, 3, 4)", "(KH, KW, CI / groups, CO)"]),
    (
        "channels first",
        lambda: ops.conv2d(X.transpose(0, 3, 1, 2), KERNEL),
        ["6 input channels", "(3, 3, 3, 4)", "Channels come last"],
    ),
    ("groups of none", lambda: ops.conv2d(X, KERNEL, groups=0), ["groups=0", "third axis must be CI / groups"]),
    (
        "groups that do not divide",
        lambda: ops.conv2d(X, np.zeros((3, 3, 1, 4)), groups=3),
        ["groups=3", "fourth a multiple of groups"],
    ),
    ("a convolution's bias", lambda: ops.conv2d(X, KERNEL, np.zeros(1)), ["bias of shape (1,)", "wanted (4,)"]),
    ("a flat image", lambda: ops.max_pool2d(X[0]), ["x of shape (5, 6, 3)", "(N, H, W, C)"]),
    ("a flat image, averaged", lambda: ops.average_pool2d(X[0]), ["x of shape (5, 6, 3)", "(N, H, W, C)"]),
    ("pooling too much", lambda: ops.max_pool2d(X, pool_size=6), ["6x6", "5x6", "fewer pooling layers"]),
    ("pooling by nothing", lambda: ops.max_pool2d(X, strides=0), ["strides was 0", "at least 1"]),
    (
        "pooling only padding",
        lambda: ops.average_pool2d(X, padding=2),
        ["2x2", "padding 2", "in the padding altogether", "less padding"],
    ),
    ("pooling only padding below", lambda: ops.max_pool2d(X, padding=((0, 2), (0, 0))), ["2x2", "less padding"]),
    ("images for dense", lambda: ops.dense(X, np.zeros((3, 4))), ["(2, 5, 6, 3)", "(3, 4)", "(N, CI) and (CI, CO)"]),
    ("unequal inner axes", lambda: ops.dense(np.zeros((2, 3)), np.zeros((4, 5))), ["(2, 3)", "(4, 5)", "(CI, CO)"]),
    (
        "a dense bias",
        lambda: ops.dense(np.zeros((2, 3)), np.zeros((3, 5)), np.zeros(4)),
        ["bias of shape (4,)", "wanted (5,)"],
    ),
    *(
        (
            f"{text} for {name}",
            lambda name=name, predictions=predictions, targets=targets: getattr(ops, name)(predictions, targets),
            words,
        )
        for name in LOSSES
        for text, predictions, targets, words in [
            ("too few targets", np.zeros((4, 3)), np.zeros(3, int), ["(4, 3)", "(3,)", "integer labels (N,)"]),
            ("broken labels", np.zeros((4, 3)), np.zeros(4), ["(4,)", "float64", "integer labels (N,)"]),
            ("other classes", np.zeros((4, 3)), np.zeros((4, 2)), ["(4, 3)", "(4, 2)", "targets (N, K)"]),
            ("images", np.zeros((4, 2, 2)), np.zeros((4, 2, 2)), ["(4, 2, 2)", "predictions (N, K)"]),
        ]
    ),
    *(
        (
            f"weights for {name}",
            lambda name=name: getattr(ops, name)(np.zeros((4, 3)), np.zeros(4, int), np.ones((4, 1))),
            ["weights of shape (4, 1)", "4 samples", "wanted (4,)"],
        )
        for name in LOSSES
    ),
]

OTHERS: list[tuple[str, Callable[[], Any], list[str]]] = [
    (
        "a label too high",
        lambda: ops.softmax_cross_entropy(np.zeros((3, 3)), np.array([0, 3, 4])),
        ["0 … 2", "3 outputs", "2 do not", "first is 3", "Count the classes from 0", "more units"],
    ),
    ("a label below 0", lambda: one_hot(np.array([-1, 0]), 2), ["0 … 1", "1 do not", "first is -1"]),
    (
        "an unknown reduction",
        lambda: ops.mean_squared_error(np.zeros((2, 3)), np.zeros((2, 3)), reduction="none"),
        ["reduction was 'none'", "mean, weighted_mean, sum"],
    ),
    (
        "an unknown data format",
        lambda: ops.flatten(X, data_format="NCHW"),
        ["data_format was 'NCHW'", "'channels_last' or 'channels_first'"],
    ),
    (
        "an unknown method",
        lambda: gradient_errors(lambda p: 0j, {}, {}, method="forward"),
        ["method was 'forward'", "complex, central"],
    ),
]


@pytest.mark.parametrize(("call", "words"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_a_shape_that_does_not_fit_is_explained(call, words):
    with pytest.raises(ShapeError) as caught:
        call()
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)


@pytest.mark.parametrize(("call", "words"), [case[1:] for case in OTHERS], ids=[case[0] for case in OTHERS])
def test_a_mistake_is_explained(call, words):
    with pytest.raises(PellucidError) as caught:
        call()
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)


def test_channels_that_fit_no_group_are_refused_by_every_geometry():
    with pytest.raises(ShapeError, match="5 input channels"):
        shape.conv_geometry((1, 4, 4, 5), (3, 3, 2, 4), groups=2)
