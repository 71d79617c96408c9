"""PyTorch's side of a comparison, the only place that imports it: the same network there, checked, and put to work.

``modules`` builds networks from plain descriptions, ``twin`` describes a model and copies its weights, ``check`` holds both
against each other, ``contenders`` are the functions that are timed. ``setup`` comes first.
"""
