"""Layers, with Keras's names and argument order."""

from .activation import ACTIVATIONS, GELU, Activation, LeakyReLU, ReLU, Softmax
from .base import Field, Layer, Weight
from .conv import Conv2D, DepthwiseConv2D
from .dense import Dense, Flatten
from .merge import Chain, Concatenate, Residual
from .norm import BatchNormalization, GroupNormalization, LayerNormalization
from .pool import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from .regularization import Dropout, SpatialDropout2D
from .scale import Rescaling
from .whitening import WhiteningConv2D

__all__ = [
    "ACTIVATIONS",
    "GELU",
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
    "GroupNormalization",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPooling2D",
    "ReLU",
    "Rescaling",
    "Residual",
    "Softmax",
    "SpatialDropout2D",
    "Weight",
    "WhiteningConv2D",
]
