"""The ``speed`` family: the networks that learn CIFAR-10 with the fewest operations known.

After Keller Jordan's airbench (github.com/KellerJordan/cifar10-airbench; "94 % on CIFAR-10 in 3.29 seconds on a single GPU",
arXiv:2404.00498), which grew out of David Page's "How to train your ResNet" and Tysam Balsam's hlb-CIFAR10. What makes
them quick: the first layer is computed from the data, the others begin as the identity, and nothing is learned twice
(convolutions have no bias, batch normalisation has no scale).

airbench has two heads: logits divided by 9, as here, and, for the Muon optimizer, a kernel of standard deviation 1 whose logits
are divided by its F inputs. They are the same network with another unit for the kernel of the head: a rate r there is
r · (9 / F)² here.
"""

from __future__ import annotations

from ..layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    GlobalMaxPooling2D,
    Layer,
    MaxPooling2D,
    Rescaling,
    Softmax,
    WhiteningConv2D,
)


def convolution(filters: int) -> Conv2D:
    """3x3, without a bias, passing its inputs through at first."""
    return Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="identity")


def norm_gelu() -> list[Layer]:
    """Batch normalisation with a short memory and no scale, then GELU."""
    return [BatchNormalization(momentum=0.6, epsilon=1e-12, scale=False), Activation("gelu")]


def block(filters: int) -> list[Layer]:
    """Convolution, pooling, normalisation; convolution, normalisation."""
    return [convolution(filters), MaxPooling2D(2), *norm_gelu(), convolution(filters), *norm_gelu()]


def _speed(num_classes: int, widths: tuple[int, int, int]) -> list[Layer]:
    layers: list[Layer] = [WhiteningConv2D(2, epsilon=5e-4), Activation("gelu")]
    for filters in widths:
        layers += block(filters)
    head = Dense(num_classes, use_bias=False, kernel_initializer="torch_uniform")
    return [*layers, GlobalMaxPooling2D(), head, Rescaling(1 / 9), Softmax()]


def speed_small(num_classes: int) -> list[Layer]:
    """Whitening convolution, then three blocks of 32, 128 and 128 channels: 33 million multiply-adds.

    91.8 % on CIFAR-10 after 10 epochs of airbench's training (mean of 5 runs).
    """
    return _speed(num_classes, (32, 128, 128))


def speed_medium(num_classes: int) -> list[Layer]:
    """Whitening convolution, then three blocks of 64, 128 and 128 channels: 54 million multiply-adds.

    93.0 % on CIFAR-10 after 11 epochs of airbench's training (mean of 50 runs).
    """
    return _speed(num_classes, (64, 128, 128))


def speed_large(num_classes: int) -> list[Layer]:
    """Whitening convolution, then three blocks of 64, 256 and 256 channels: 118 million multiply-adds.

    airbench94: 94.0 % on CIFAR-10 after 8 epochs with the Muon optimizer (mean of 200 runs).
    """
    return _speed(num_classes, (64, 256, 256))


def speed_huge(num_classes: int) -> list[Layer]:
    """Whitening convolution, then three blocks of 128, 384 and 384 channels: 302 million multiply-adds.

    airbench95: 95.0 % on CIFAR-10 after 15 epochs (mean of 200 runs).
    """
    return _speed(num_classes, (128, 384, 384))
