"""Explanations in pictures. Every function returns a Matplotlib figure; ``pellucid.figures.save`` writes it to a file."""

from .ablation import ablation
from .activations import activation_maps
from .arithmetic import arithmetic
from .attribution import attribution
from .clusters import clusters
from .feature_map import feature_map
from .filters import filters
from .gradient_flow import gradient_flow
from .maximal import favourites
from .receptive import receptive_fields
from .statistics import filter_statistics

__all__ = [
    "ablation",
    "activation_maps",
    "arithmetic",
    "attribution",
    "clusters",
    "favourites",
    "feature_map",
    "filter_statistics",
    "filters",
    "gradient_flow",
    "receptive_fields",
]
