"""Small relatives of the networks everybody knows."""

from __future__ import annotations

from ..layers import (
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Residual,
    Softmax,
)


def conv_bn(filters: int, kernel_size: int = 3, strides: int = 1, relu: bool = True) -> list[Layer]:
    """Convolution without bias, batch normalisation (which has one), ReLU."""
    convolution = Conv2D(filters, kernel_size, strides, padding="same", use_bias=False, kernel_initializer="he_normal")
    return [convolution, BatchNormalization(momentum=0.9, epsilon=1e-5), *([ReLU()] if relu else [])]


def basic_block(filters: int, strides: int) -> list[Layer]:
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""
    body = [*conv_bn(filters, strides=strides), *conv_bn(filters, relu=False)]
    return [Residual(body, conv_bn(filters, 1, strides, relu=False) if strides > 1 else None), ReLU()]


def _resnet(num_classes: int, blocks: int) -> list[Layer]:
    layers = conv_bn(16)
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(blocks):
            layers += basic_block(filters, strides=2 if stage > 0 and block == 0 else 1)
    return [*layers, GlobalAveragePooling2D(), Dense(num_classes, activation="softmax")]


def resnet8(num_classes: int) -> list[Layer]:
    """Three residual blocks of 16, 32 and 64 channels: the image classifier of the MLPerf Tiny benchmark (Banbury et al.,
    arXiv:2106.07597), here with batch normalisation on the shortcuts too."""
    return _resnet(num_classes, blocks=1)


def resnet20(num_classes: int) -> list[Layer]:
    """The ResNet of 20 layers for CIFAR-10 (He, Zhang, Ren, Sun, arXiv:1512.03385; 91.25 % there), here with 1x1 convolutions
    as shortcuts where the shape changes ("option B")."""
    return _resnet(num_classes, blocks=3)


def resnet9(num_classes: int) -> list[Layer]:
    """David Page's ResNet-9: 64, 128, residual, 256, 512, residual, logits divided by 8.

    "How to train your ResNet", 2018; 94.1 % on CIFAR-10 in 10 epochs with his last recipe.
    """

    def residual(filters: int) -> Residual:
        return Residual([*conv_bn(filters), *conv_bn(filters)])

    layers = [*conv_bn(64), *conv_bn(128), MaxPooling2D(2), residual(128)]
    layers += [*conv_bn(256), MaxPooling2D(2), *conv_bn(512), MaxPooling2D(2), residual(512)]
    logits = [GlobalMaxPooling2D(), Dense(num_classes, use_bias=False), Rescaling(0.125)]
    return [*layers, *logits, Softmax()]


def vgg_small(num_classes: int) -> list[Layer]:
    """Three pairs of 3x3 convolutions, 32, 64 and 128 channels, after Simonyan, Zisserman, arXiv:1409.1556, with batch
    normalisation and dropout."""
    layers: list[Layer] = []
    for filters in (32, 64, 128):
        layers += [*conv_bn(filters), *conv_bn(filters), MaxPooling2D(2), Dropout(0.2)]
    return [*layers, GlobalAveragePooling2D(), Dense(num_classes, activation="softmax")]


def inception_small(num_classes: int) -> list[Layer]:
    """Four inception modules (1x1, 3x3, 5x5 and pooled branches side by side), after Szegedy et al., arXiv:1409.4842, with
    batch normalisation."""

    def module(one: int, three: int, five: int, pooled: int) -> Concatenate:
        return Concatenate(
            [
                conv_bn(one, 1),
                [*conv_bn(three // 2, 1), *conv_bn(three)],
                [*conv_bn(five // 2, 1), *conv_bn(five, 5)],
                [MaxPooling2D(3, 1, padding="same"), *conv_bn(pooled, 1)],
            ]
        )

    layers = [*conv_bn(32), MaxPooling2D(2), module(16, 32, 8, 8), module(24, 48, 12, 12), MaxPooling2D(2)]
    return [
        *layers,
        module(32, 64, 16, 16),
        module(48, 96, 24, 24),
        GlobalAveragePooling2D(),
        Dense(num_classes, activation="softmax"),
    ]
