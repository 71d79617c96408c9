"""Explanations: what a network looks at, what its filters look for, and how one number of it comes about.

Every function takes a built model and raw images, as ``model.predict`` does, works through them in batches, and returns
arrays; ``pellucid.explain.figures`` draws them. Layers are named by path, ``"residual1/body/conv2"``. What is explained is the
answer to the image as it is, without ``model.views``. The model is left exactly as it was.

>>> import numpy as np
>>> from pellucid import explain, zoo
>>> found = explain.grad_cam(zoo.build("cnn2"), np.zeros((1, 32, 32, 3), np.float32))
>>> found.layer, found.heat.shape
('conv2', (1, 32, 32))
"""

from .ablation import Ablation, ablation
from .activations import activations
from .arithmetic import Gradient, Step, arithmetic
from .attribution import Attribution
from .clusters import FilterClusters, cluster_filters
from .dead import dead_units
from .edited import without_filters
from .features import feature_map, features
from .filters import filters
from .grad_cam import default_layer, grad_cam
from .gradient_flow import Flow, gradient_flow
from .integrated import integrated_gradients
from .maximal import Favourites, maximally_activating
from .occlusion import occlusion
from .receptive import Box, receptive_field, receptive_fields
from .saliency import saliency, smooth_grad
from .statistics import FilterStatistics, filter_statistics

__all__ = [
    "Ablation",
    "Attribution",
    "Box",
    "Favourites",
    "FilterClusters",
    "FilterStatistics",
    "Flow",
    "Gradient",
    "Step",
    "ablation",
    "activations",
    "arithmetic",
    "cluster_filters",
    "dead_units",
    "default_layer",
    "feature_map",
    "features",
    "filter_statistics",
    "filters",
    "grad_cam",
    "gradient_flow",
    "integrated_gradients",
    "maximally_activating",
    "occlusion",
    "receptive_field",
    "receptive_fields",
    "saliency",
    "smooth_grad",
    "without_filters",
]
