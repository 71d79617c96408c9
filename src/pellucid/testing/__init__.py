"""Public checks: is this derivative right, does this layer keep the contract, does this whole model follow its loss?

Each check returns a ``Report``; the ``assert_`` functions are the same for test suites. Everything runs in float64 on the
NumPy reference. Layers and ops of your own are held to the same rules as those of the library:

    def test_my_layer():
        assert_layer(MyLayer(units=3), input_shape=(8, 8, 2))
"""

from ..differentiation import CheckedGradient, gradient_errors
from .layer import assert_layer, check_layer
from .model import assert_model, check_model
from .op import adjoint_error, assert_gradients, check_gradients
from .report import TOLERANCE, Report

__all__ = [
    "TOLERANCE",
    "CheckedGradient",
    "Report",
    "adjoint_error",
    "assert_gradients",
    "assert_layer",
    "assert_model",
    "check_gradients",
    "check_layer",
    "check_model",
    "gradient_errors",
]
