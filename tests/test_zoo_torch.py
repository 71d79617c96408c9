"""Whole networks against the same networks in PyTorch, with the same weights: outputs, loss and every gradient."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import backend, zoo

torch = pytest.importorskip("torch")
F = torch.nn.functional


class Network:
    """PyTorch's functions on our weights, which stay in our layout: (KH, KW, CI, CO) and (CI, CO)."""

    epsilon = 1e-5

    def __init__(self, model):
        self.state = {path: torch.tensor(a) for path, a in model.state.items()}
        self.weights = {path: torch.tensor(a, requires_grad=True) for path, a in model.params.items()}

    def conv(self, x, path, padding=1, stride=1):
        kernel = self.weights[f"{path}/kernel"]
        if stride == 2 and kernel.shape[0] == 3:
            x, padding = F.pad(x, (0, 1, 0, 1)), 0  # "same" puts the odd pixel below and right
        return F.conv2d(x, kernel.permute(3, 2, 0, 1), self.weights.get(f"{path}/bias"), stride, padding)

    def norm(self, x, path):
        gamma, beta = self.weights.get(f"{path}/gamma"), self.weights[f"{path}/beta"]
        return F.batch_norm(x, None, None, gamma, beta, training=True, eps=self.epsilon)

    def conv_norm(self, x, path, number=1, **options):
        """A convolution and its batch normalisation, within the container at ``path``."""
        return self.norm(self.conv(x, f"{path}conv{number}", **options), f"{path}batch_norm{number}")

    def dense(self, x, path):
        return x @ self.weights[f"{path}/kernel"] + self.weights[f"{path}/bias"]

    @staticmethod
    def flatten(x):
        return x.permute(0, 2, 3, 1).flatten(1)  # the channel runs fastest


def cnn2(net, x):
    for n in (1, 2):
        x = F.max_pool2d(net.conv(x, f"conv{n}").relu(), 2)
    return net.dense(net.dense(net.flatten(x), "dense1").relu(), "dense2")


def lenet5(net, x):
    for n in (1, 2):
        x = F.avg_pool2d(net.conv(x, f"conv{n}", padding=0).relu(), 2)
    x = net.flatten(x)
    for n in (1, 2):
        x = net.dense(x, f"dense{n}").relu()
    return net.dense(x, "dense3")


def resnet8(net, x):
    x = net.conv_norm(x, "").relu()
    for n, stride in [(1, 1), (2, 2), (3, 2)]:
        shortcut = x if stride == 1 else net.conv_norm(x, f"residual{n}/shortcut/", padding=0, stride=2)
        y = net.conv_norm(x, f"residual{n}/body/", stride=stride).relu()
        x = (net.conv_norm(y, f"residual{n}/body/", 2) + shortcut).relu()
    return net.dense(x.mean((2, 3)), "dense1")


def inception_small(net, x):
    x = F.max_pool2d(net.conv_norm(x, "").relu(), 2)
    for n in range(1, 5):
        branch = f"concatenate{n}/branch"
        one = net.conv_norm(x, f"{branch}1/", padding=0).relu()
        three = net.conv_norm(net.conv_norm(x, f"{branch}2/", padding=0).relu(), f"{branch}2/", 2).relu()
        five = net.conv_norm(net.conv_norm(x, f"{branch}3/", padding=0).relu(), f"{branch}3/", 2, padding=2).relu()
        pooled = net.conv_norm(F.max_pool2d(x, 3, 1, 1), f"{branch}4/", padding=0).relu()
        x = torch.cat([one, three, five, pooled], 1)
        x = F.max_pool2d(x, 2) if n == 2 else x
    return net.dense(x.mean((2, 3)), "dense1")


def speed_small(net, x):
    net.epsilon = 1e-12
    x = F.gelu(F.conv2d(x, net.state["whitening1/kernel"].permute(3, 2, 0, 1), net.weights["whitening1/bias"]))
    for n in (1, 3, 5):
        x = F.gelu(net.norm(F.max_pool2d(net.conv(x, f"conv{n}"), 2), f"batch_norm{n}"))
        x = F.gelu(net.norm(net.conv(x, f"conv{n + 1}"), f"batch_norm{n + 1}"))
    return x.amax((2, 3)) @ net.weights["dense1/kernel"] / 9


@pytest.mark.parametrize("network", [cnn2, lenet5, resnet8, inception_small, speed_small])
def test_a_whole_network_gives_pytorchs_outputs_loss_and_gradients(network):
    shape = {lenet5: (32, 32, 1), speed_small: (20, 20, 3)}.get(network, (16, 16, 3))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, *shape)), rng.integers(10, size=4)
    model = zoo.build(network.__name__, shape).astype(np.float64)
    for path, a in model.params.items():
        a += rng.normal(scale=0.1, size=a.shape) * (not path.endswith("kernel"))  # biases and scales off 0 and 1
    model.compile(loss="cce")
    net = Network(model)
    with backend.using("numpy"):
        logits, _ = model.without_activation().forward(x, training=True)
        logs, gradients = model.gradients(x, y)

    expected = network(net, torch.tensor(x).permute(0, 3, 1, 2))
    loss = F.cross_entropy(expected, torch.tensor(y))
    loss.backward()
    np.testing.assert_allclose(logits, expected.detach().numpy(), rtol=1e-10, atol=1e-10)
    assert logs["loss"] == pytest.approx(loss.item(), rel=1e-11)
    assert gradients.keys() == net.weights.keys()
    for path, gradient in gradients.items():
        right = net.weights[path].grad.numpy()
        np.testing.assert_allclose(gradient, right, rtol=1e-8, atol=1e-11 * np.abs(right).max(), err_msg=path)


def test_cnn2_has_as_many_parameters_as_in_pytorch():
    nn = torch.nn
    convolutions = [
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
    ]
    net = nn.Sequential(
        *convolutions, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4096, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    assert sum(p.numel() for p in net.parameters()) == zoo.build("cnn2").count_params() == 545_098
