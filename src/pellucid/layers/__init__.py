"""Layers, with Keras's names and argument order."""

from .activation import ACTIVATIONS, Activation, LeakyReLU, ReLU, Softmax
from .base import Field, Layer, Weight
from .conv import Conv2D, DepthwiseConv2D
from .dense import Dense, Flatten
from .merge import Chain, Concatenate, Residual
from .norm import BatchNormalization
from .pool import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from .regularization import Dropout
from .scale import Rescaling
from .whitening import WhiteningConv2D

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "AveragePooling2D",
    "BatchNormalization",
    "Chain",
    "Concatenate",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Field",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "Layer",
    "LeakyReLU",
    "MaxPooling2D",
    "ReLU",
    "Rescaling",
    "Residual",
    "Softmax",
    "Weight",
    "WhiteningConv2D",
]
