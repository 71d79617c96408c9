"""Explanations against Captum's, on a PyTorch twin with the same weights in float64; float32 on the compiled kernels is near."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import Sequential, explain
from pellucid.randomness import generator

from .models import MODELS, images

torch = pytest.importorskip("torch", reason="PyTorch is optional: Captum needs it")
attr = pytest.importorskip("captum.attr", reason="Captum is optional: explanations are compared with it")
twin = pytest.importorskip("pellucid.benchmark.pytorch.twin").twin
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Captum's own: of hooks it sets and inputs it marks

CLASSES = np.array([1, 4, 1])


def double(model: Sequential) -> Sequential:
    return model.astype(np.float64)


def module_of(model: Sequential):
    module = twin(model).eval()
    for part in module.modules():
        if hasattr(part, "inplace"):
            part.inplace = False  # Captum looks at what layers put out
    return module


def to_torch(x: np.ndarray):
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float64)).requires_grad_()


def to_numpy(tensor) -> np.ndarray:
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


TARGETS = torch.from_numpy(CLASSES)


def of_captum(method: str, module, x: np.ndarray) -> np.ndarray:
    inputs = to_torch(x)
    if method == "saliency":
        return to_numpy(attr.Saliency(module).attribute(inputs, target=TARGETS, abs=False))
    if method == "integrated gradients":
        return to_numpy(attr.IntegratedGradients(module).attribute(inputs, target=TARGETS, n_steps=20))
    found = attr.Occlusion(module).attribute(inputs, target=TARGETS, sliding_window_shapes=(3, 4, 3), strides=(3, 3, 2))
    return to_numpy(found)[..., 0]  # the same for every channel


MINE = {
    "saliency": lambda model, x: explain.saliency(model, x, CLASSES),
    "integrated gradients": lambda model, x: explain.integrated_gradients(model, x, CLASSES, steps=20),
    "occlusion": lambda model, x: explain.occlusion(model, x, CLASSES, window=(4, 3), strides=(3, 2)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", MINE)
def test_attributions_are_those_of_captum(name, method):
    x = images()
    expected = of_captum(method, module_of(double(MODELS[name]())), x)
    assert np.abs(expected).max() > 1e-3
    mine = MINE[method](double(MODELS[name]()), x.astype(np.float64))
    exact = 1e-10 if method == "saliency" else 3e-7  # Captum counts steps and adds up windows in float32
    np.testing.assert_allclose(mine.values, expected, rtol=0, atol=exact * np.abs(expected).max())
    assert mine.method == method
    compiled = MINE[method](MODELS[name](), x)  # float32
    np.testing.assert_allclose(compiled.values, expected, atol=2e-4 * np.abs(expected).max())


# The layer, and the module of the twin that puts out the same: the activation is a module of its own there.
LAYERS = {"plain": {"conv1": 1, "conv2": 4, "max_pool1": 2}, "tangled": {"relu1": 2, "concatenate1": 4, "conv2": 6}}


@pytest.mark.parametrize(("name", "layer"), [(name, layer) for name, layers in LAYERS.items() for layer in layers])
def test_grad_cam_is_that_of_captum(name, layer):
    x, module = images(), module_of(double(MODELS[name]()))
    grad_cam = attr.LayerGradCam(module, module[LAYERS[name][layer]])
    expected = grad_cam.attribute(to_torch(x), target=TARGETS, relu_attributions=True)
    mine = explain.grad_cam(double(MODELS[name]()), x.astype(np.float64), CLASSES, layer=layer)
    assert (expected > 0).any()
    np.testing.assert_allclose(mine.maps, to_numpy(expected)[..., 0], rtol=1e-8, atol=1e-12)
    compiled = explain.grad_cam(MODELS[name](), x, CLASSES, layer=layer)
    np.testing.assert_allclose(compiled.maps, mine.maps, atol=2e-4 * mine.maps.max())


def test_maps_that_halve_the_image_are_enlarged_as_captum_does():
    from pellucid.explain.grad_cam import enlarge
    from pellucid.layers import Field

    maps = np.random.default_rng(0).random((2, 4, 5))
    expected = attr.LayerAttribution.interpolate(torch.from_numpy(maps[:, None]), (8, 10), interpolate_mode="bilinear")
    found = enlarge(maps, Field((2, 2), (2, 2), (0, 0)), (8, 10))
    np.testing.assert_allclose(found, expected[:, 0].numpy(), rtol=1e-6)


def test_smooth_grad_is_the_mean_of_captums_saliency_over_the_same_noise():
    x, samples, noise = images().astype(np.float64), 3, 0.2
    saliency = attr.Saliency(module_of(double(MODELS["plain"]())))
    streams = [generator(7, f"smooth_grad/{i}") for i in range(len(x))]
    spread = noise * (x.max(axis=(1, 2, 3)) - x.min(axis=(1, 2, 3)))
    total = 0
    for _ in range(samples):
        draws = np.stack([s.standard_normal(x.shape[1:], np.float32) for s in streams])
        noisy = to_torch(x + spread[:, None, None, None] * draws)
        total = total + to_numpy(saliency.attribute(noisy, target=TARGETS, abs=False))
    model = double(MODELS["plain"]())
    mine = explain.smooth_grad(model, x, CLASSES, samples=samples, noise=noise, seed=7, batch_size=2)
    np.testing.assert_allclose(mine.values, total / samples, rtol=1e-8, atol=1e-10)
