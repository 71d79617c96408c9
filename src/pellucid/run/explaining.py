"""One explanation of a trained model, by the name of its method: what ``pellucid explain`` does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import explain, figures
from ..errors import DataError, PellucidError, nearest
from ..explain import figures as draw
from ..explain.dead import in_words
from ..explain.features import penultimate
from ..explain.filters import convolutions
from ..explain.network import class_name
from ..files import write_atomically
from ..model import Sequential, load
from .asking import probabilities
from .images import PARTS, choose_images
from .networks import model_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Explanation(NamedTuple):
    """What came of it: a figure, what there is to say in words, and the numbers by name."""

    figure: Figure
    words: str
    arrays: dict[str, NDArray]


@dataclass
class Request:
    """What is to be explained; images and labels are loaded when a method asks for them."""

    model: Sequential
    image: str | None = None
    layer: str | None = None
    class_: str | None = None
    of: str = "logit"
    row: int | None = None
    column: int | None = None
    filter: int | None = None
    count: int = 512
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def picture(self) -> NDArray:
        """The one image (1, H, W, C): a file, or image 17 of the test part as ``test:17``; without a name the first there is."""
        name = self.image or "test:0"
        numbered = re.fullmatch(rf"({'|'.join(PARTS)}):(\d+)", name)
        if numbered and not Path(name).exists():
            part, number = numbered[1], int(numbered[2])
            part = part if self.image else None  # type: ignore[assignment]
            images = choose_images(self.model, part=part, overrides=self.overrides).images
            if number >= len(images):
                raise DataError(
                    f"The {part} part has {len(images):,} images, counted from 0; there is no image {number}."
                )
            return images.x[number : number + 1]
        if self.model.preprocessing is None:
            raise PellucidError(
                "The model does not say how the pixels of a picture become its input: name an image as test:17."
            )
        return self.model.preprocessing.read(name)[None]

    def images(self) -> tuple[NDArray, NDArray]:
        """The first ``count`` images and labels of the test part, or of what there is."""
        if self.count < 3:
            raise PellucidError(f"--images was {self.count}; wanted at least 3.")
        images = choose_images(self.model, overrides=self.overrides).images
        return images.x[: self.count], images.y[: self.count]

    def a_layer(self) -> str:
        """The layer asked for, or the last convolution, or the last layer with weights."""

        return self.layer or ([*convolutions(self.model)] or [penultimate(self.model)])[-1]


def _attribution(method: Callable[..., explain.Attribution]) -> Callable[[Request], Explanation]:
    def run(request: Request) -> Explanation:
        model, x = request.model, request.picture()
        settings = {"layer": request.layer} if method is explain.grad_cam else {}
        found = method(model, x, request.class_, of=request.of, **settings)
        answer = probabilities(model, x)[0]
        at = f" at {found.layer}, maps of {'x'.join(map(str, found.maps.shape[1:]))}," if found.maps is not None else ""
        kind, _, note = found.score.partition(", ")
        words = (
            f"{found.method[0].upper()}{found.method[1:]}{at} for {class_name(model, int(found.classes[0]))}: "
            f"{kind} {found.scores[0]:.3f}{f' ({note})' if note else ''}. "
            f"The network says {class_name(model, int(answer.argmax()))}, {100 * answer.max():.1f} %."
        )
        arrays = {"values": found.values[0], "heat": found.heat[0]}
        arrays |= {} if found.maps is None else {"maps": found.maps[0]}
        return Explanation(draw.attribution(model, x, found), words, arrays)

    return run


def _activations(request: Request) -> Explanation:
    x, layers = request.picture(), None if request.layer is None else [request.layer]
    found = explain.activations(request.model, x, layers)
    words = "\n".join(f"{path}: {'x'.join(map(str, maps.shape[1:]))}" for path, maps in found.items())
    figure = draw.activation_maps(request.model, x, layers)
    return Explanation(figure, words, {path: maps[0] for path, maps in found.items()})


def _filters(request: Request) -> Explanation:
    kernels = explain.filters(request.model, request.layer)
    count, kh, kw, channels = kernels.shape
    words = f"{count} filters of {kh}x{kw} over {channels} channels, weights from {kernels.min():.3f} to {kernels.max():.3f}."
    return Explanation(draw.filters(request.model, request.layer), words, {"filters": kernels})


def _arithmetic(request: Request) -> Explanation:
    place = {"row": request.row, "column": request.column, "filter": request.filter}
    layer = request.layer or next(iter(convolutions(request.model)), None)
    if layer is None:
        raise PellucidError("The network has no convolution: name a pooling layer with --layer, if it has one.")
    step = explain.arithmetic(request.model, request.picture(), layer, classes=request.class_, **place)
    arrays = {name: value for name, value in vars(step).items() if isinstance(value, np.ndarray)}
    return Explanation(draw.arithmetic(step), str(step), arrays)


def _receptive(request: Request) -> Explanation:
    layers = None if request.layer is None else [request.layer]
    figure = draw.receptive_fields(request.model, request.picture(), layers, row=request.row, column=request.column)
    boxes = explain.receptive_fields(request.model)
    words = "\n".join(
        f"{path}: sees {'all' if np.inf in f.size else f'{f.size[0]:.0f}x{f.size[1]:.0f}'}" for path, f in boxes.items()
    )
    return Explanation(figure, words, {path: np.array([*f.size, *f.step, *f.start]) for path, f in boxes.items()})


def _favourites(request: Request) -> Explanation:
    x, _ = request.images()
    found = explain.maximally_activating(request.model, x, request.a_layer())
    chosen = None if request.filter is None else [request.filter]
    figure = draw.favourites(request.model, x, found, chosen)
    words = f"Searched {len(x):,} images for what excites {len(found.images)} filters of {found.layer} most."
    return Explanation(figure, words, {"images": found.images, "values": found.values})


def _statistics(request: Request) -> Explanation:
    x, _ = request.images()
    found = explain.filter_statistics(request.model, x)
    arrays = {
        f"{path}/{name}": getattr(row, name)
        for path, row in found.items()
        for name in ("mean", "std", "active", "dead")
    }
    dead = {path: row.dead for path, row in found.items() if row.rectified}
    return Explanation(draw.filter_statistics(found), in_words(dead, len(x)), arrays)


def _flow(request: Request) -> Explanation:
    x, y = request.images()
    rows = explain.gradient_flow(request.model, x[:128], y[:128])
    words = "\n".join(
        f"{r.path}: outputs {r.output:.2e}, their gradients {r.output_gradient:.2e}, gradient / weights {r.ratio:.2e}"
        for r in rows
    )
    return Explanation(draw.gradient_flow(rows), words, {r.path: np.array(r[1:]) for r in rows})


def _ablation(request: Request) -> Explanation:
    x, y = request.images()
    found = explain.ablation(request.model, x, y, request.a_layer())
    best = ", ".join(f"{k} (loss {found.loss_rise[k]:+.3f})" for k in found.ranking[:5])
    words = f"{found.layer} on {found.images:,} images, {100 * found.accuracy:.1f} % right: the most valuable filters are {best}."
    arrays = {"loss_rise": found.loss_rise, "accuracy_drop": found.accuracy_drop, "class_drop": found.class_drop}
    return Explanation(draw.ablation(found, request.model.class_names), words, arrays)


def _clusters(request: Request) -> Explanation:
    x, _ = request.images()
    found = explain.cluster_filters(request.model, x, request.a_layer())
    shown = request.picture() if request.image else x[:1]
    groups = [np.flatnonzero(found.labels == g).tolist() for g in range(found.labels.max() + 1)]
    words = "\n".join(f"group {n}: filters {', '.join(map(str, group))}" for n, group in enumerate(groups, 1))
    arrays = {"labels": found.labels, "correlation": found.correlation}
    return Explanation(draw.clusters(request.model, shown, found), words, arrays)


def _map(method: str) -> Callable[[Request], Explanation]:
    def run(request: Request) -> Explanation:
        x, y = request.images()
        points = explain.feature_map(request.model, x, method=method, layer=request.layer)
        said = probabilities(request.model, x).argmax(axis=1)
        words = f"{len(x):,} images by the features in front of {request.layer or 'the last layer with weights'}."
        return Explanation(
            draw.feature_map(points, y, request.model.class_names, said, method), words, {"points": points}
        )

    return run


METHODS: dict[str, Callable[[Request], Explanation]] = {
    "gradcam": _attribution(explain.grad_cam),
    "saliency": _attribution(explain.saliency),
    "smoothgrad": _attribution(explain.smooth_grad),
    "integrated": _attribution(explain.integrated_gradients),
    "occlusion": _attribution(explain.occlusion),
    "activations": _activations,
    "arithmetic": _arithmetic,
    "receptive": _receptive,
    "filters": _filters,
    "favourites": _favourites,
    "statistics": _statistics,
    "flow": _flow,
    "ablation": _ablation,
    "clusters": _clusters,
    "pca": _map("pca"),
    "tsne": _map("tsne"),
}


def explained(target: str | os.PathLike[str] | Sequential, method: str, **request: Any) -> Explanation:
    """Explain a model (a run folder, a model file, or a model) by a method of ``METHODS``; ``request`` as in ``Request``.

    Raises
    ------
    PellucidError
        for an unknown method, layer, class or part, with the nearest names.
    """
    if method not in METHODS:
        raise PellucidError(f"There is no method {method!r}. {nearest(method, METHODS)}")
    model = target if isinstance(target, Sequential) else load(model_path(target))
    return METHODS[method](Request(model, **request))


def checked_path(path: str | os.PathLike[str]) -> Path:
    """The path, if ``write`` knows what its ending means: asked before anything is computed."""
    path = Path(path).expanduser()
    known = (*figures.SUFFIXES, ".npz")
    if path.suffix.lower() not in known:
        raise PellucidError(f"An explanation cannot be written to {str(path)!r}. {nearest(path.suffix, known)}")
    return path


def write(explanation: Explanation, path: str | os.PathLike[str]) -> Path:
    """Write the figure, or, to a name that ends in ``.npz``, the numbers."""
    path = checked_path(path)
    if path.suffix.lower() != ".npz":
        return figures.save(explanation.figure, path)

    def save(temporary: Path) -> None:
        with open(temporary, "wb") as file:  # savez would add an ending to a name
            np.savez(file, **explanation.arrays)  # type: ignore[arg-type]

    write_atomically(path, save)
    return path
