"""One training in a process of its own; prints what it took as JSON. ``memory.py`` and ``startup.py`` run it.

    python benchmarks/process.py pellucid|NCHW|channels-last < network.json

The process holds one library only. It reads from its standard input what to train: the name of the network, its description
in plain types (see ``pellucid.benchmark.pytorch.twin``), images a batch, steps.
"""

import time

BEGIN = time.perf_counter()  # before anything else is imported

import json  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402


def peak_bytes() -> int:
    """The most memory this process ever had in use.

    Linux keeps it per program in /proc; what ``getrusage`` says there includes the process that started this one.
    """
    try:
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


def with_pellucid(task: dict):
    """A training step of the network on the next batch."""
    import numpy as np

    from pellucid import zoo

    model = zoo.build(task["network"], task["input_shape"], task["classes"])
    loss = "binary_crossentropy" if task["output"] == "sigmoid" else "categorical_crossentropy"
    model.compile("sgd", loss, learning_rate=1e-3, metrics=())
    rng = np.random.default_rng(0)
    x = rng.standard_normal((task["images"], *task["input_shape"]), np.float32)
    y = rng.integers(task["classes"], size=task["images"])

    def step(number: int) -> float:
        part = slice(number * task["batch"] % len(x), number * task["batch"] % len(x) + task["batch"])
        return model.train_on_batch(x[part], y[part])

    return step


def with_torch(task: dict, memory_format: str):
    """The same in PyTorch, its own first weights; images of the same size."""
    import torch

    from pellucid.benchmark.pytorch import modules  # which loads nothing else of pellucid

    torch.set_num_threads(task["threads"])
    layout, output = modules.FORMATS[memory_format], task["output"]
    module = modules.build(task["layers"]).to(memory_format=layout).train()
    height, width, channels = task["input_shape"]
    x = torch.randn(task["images"], channels, height, width).contiguous(memory_format=layout)
    labels = torch.randint(task["classes"], (task["images"],))
    y = modules.targets(labels, task["classes"], output)
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=1e-3, fused=True)
    loss_of = modules.loss_function(output)

    def step(number: int) -> float:
        part = slice(number * task["batch"] % len(x), number * task["batch"] % len(x) + task["batch"])
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(module(x[part]), y[part])
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def main() -> None:
    """Build, train, report."""
    engine, task = sys.argv[1], json.load(sys.stdin)
    step = with_pellucid(task) if engine == "pellucid" else with_torch(task, engine)
    built, built_peak = time.perf_counter() - BEGIN, peak_bytes()
    loss = step(0)
    first = time.perf_counter() - BEGIN
    for number in range(1, task["steps"]):
        loss = step(number)
    report = {
        "built_seconds": built,
        "first_step_seconds": first,
        "built_bytes": built_peak,
        "peak_bytes": peak_bytes(),
    }
    print(
        json.dumps(
            report
            | {
                "loss": loss,
                "torch_loaded": "torch" in sys.modules,
                "kernels_loaded": "pellucid.kernels" in sys.modules,
            }
        )
    )


if __name__ == "__main__":
    main()
