"""The networks of the five small "CNN from scratch in NumPy" projects that pellucid grew out of.

Where a project left a size open (width of a hidden dense layer, initial values), a common choice stands here: 128
hidden units, He's initial values before ReLU.
"""

from __future__ import annotations

from ..layers import AveragePooling2D, BatchNormalization, Conv2D, Dense, Flatten, Layer, MaxPooling2D, ReLU


def conv(filters: int, kernel_size: int = 3, padding: str = "same") -> Conv2D:
    """Convolution and ReLU."""
    return Conv2D(filters, kernel_size, padding=padding, activation="relu", kernel_initializer="he_normal")


def normalised(filters: int) -> list[Layer]:
    """A 3x3 convolution, batch normalisation as Keras sets it (``classics.conv_bn`` has PyTorch's settings), ReLU."""
    convolution = Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal")
    return [convolution, BatchNormalization(), ReLU()]


def head(units: int, num_classes: int, activation: str = "softmax") -> list[Layer]:
    """Flatten, a hidden dense layer with ReLU, and the outputs."""
    hidden = Dense(units, activation="relu", kernel_initializer="he_normal")
    return [Flatten(), hidden, Dense(num_classes, activation=activation)]


def cnn4(num_classes: int) -> list[Layer]:
    """Two times two convolutions: 16, 32, pool, 64, 128, pool, dense 128.

    Trained by its author for 28 hours an epoch: 52 % on CIFAR-10 after 5 epochs of SGD with rate 0.01 and batches of 64.
    """
    first = [conv(16), conv(32), MaxPooling2D(2)]
    return [*first, conv(64), conv(128), MaxPooling2D(2), *head(128, num_classes)]


def lenet5(num_classes: int) -> list[Layer]:
    """LeNet-5 with ReLU and average pooling, for 32x32 images: 5x5 convolutions 6 and 16, dense 120 and 84.

    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998. Its author reached 95 % on
    5,000 memorised images.
    """
    convolutions = [conv(6, 5, "valid"), AveragePooling2D(2), conv(16, 5, "valid"), AveragePooling2D(2)]
    dense = [Dense(units, activation="relu", kernel_initializer="he_normal") for units in (120, 84)]
    return [*convolutions, Flatten(), *dense, Dense(num_classes, activation="softmax")]


def cnn1_avg(num_classes: int) -> list[Layer]:
    """One convolution of 16 filters, average pooling, dense 64."""
    return [conv(16), AveragePooling2D(2), *head(64, num_classes)]


def cnn2(num_classes: int) -> list[Layer]:
    """Convolutions 32 and 64, each with max pooling, dense 128: 545,098 parameters on CIFAR-10.

    Its author aimed at 70 % and more and never got to train it to the end.
    """
    return [conv(32), MaxPooling2D(2), conv(64), MaxPooling2D(2), *head(128, num_classes)]


def cnn1_mnist(num_classes: int) -> list[Layer]:
    """One convolution of 4 filters and max pooling; 96 % on MNIST after 25 epochs."""
    return [conv(4), MaxPooling2D(2), *head(128, num_classes)]


def cnn2_mnist(num_classes: int) -> list[Layer]:
    """Two convolutions of 16 filters, each with max pooling; 97.8 % on MNIST after 30 epochs."""
    return [conv(16), MaxPooling2D(2), conv(16), MaxPooling2D(2), *head(128, num_classes)]


def cnn3(num_classes: int) -> list[Layer]:
    """Convolutions 8, pool, 16, 32, pool; 60 % on CIFAR-10 after 25 epochs, with hopes of 80 %."""
    return [conv(8), MaxPooling2D(2), conv(16), conv(32), MaxPooling2D(2), *head(128, num_classes)]


def cnn3_bn(num_classes: int) -> list[Layer]:
    """``cnn3`` with batch normalisation between each convolution and its ReLU, as its author hoped to try."""
    first = [*normalised(8), MaxPooling2D(2)]
    return [*first, *normalised(16), *normalised(32), MaxPooling2D(2), *head(128, num_classes)]


def cnn3_sigmoid(num_classes: int) -> list[Layer]:
    """Convolutions 32, 64, 128, each with max pooling, dense 256, and sigmoid outputs for binary cross-entropy.

    Its author showed two iterations.
    """
    layers: list[Layer] = []
    for filters in (32, 64, 128):
        layers += [conv(filters), MaxPooling2D(2)]
    return [*layers, *head(256, num_classes, activation="sigmoid")]
