"""Single 3x3 convolutions: what they reach of the processor's peak, beside PyTorch on the same machine.

    python benchmarks/layers.py
    python benchmarks/layers.py --layers 16x16:128-128 8x8:256-256 --batch 128 --malloc tuned

Every layer runs forward and backward, directly and, where they are taken, by Winograd's algorithm and in bfloat16 by the CPU's
own products, in turns with PyTorch in both of its memory formats, and in bfloat16 where ours is: "backward" is both gradients,
dw the gradient to the kernel alone, as in the first layer of a network; dx is what is left of backward without dw. Ours take
and give float32 in all cases, PyTorch's in bfloat16 takes and gives bfloat16. GFLOP/s count the operations of direct
convolution, so that Winograd's, which needs a quarter of them, can be above the peak, which is that of float32, measured in
the same run. At the end stand the errors of all kinds of kernels against float64.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

import harness
import numpy as np

from pellucid import backend
from pellucid.benchmark import timing
from pellucid.benchmark.receipt import Result, receipt, save
from pellucid.benchmark.series import make_console, series
from pellucid.profile import Peak, measure_peak

LAYERS = [
    "32x32:3-16", "32x32:3-32", "32x32:3-64", "31x31:3-64", "32x32:16-32", "31x31:24-64", "32x32:32-64", "32x32:64-128",
    "16x16:32-64", "16x16:64-64", "16x16:128-128", "15x15:64-64", "15x15:64-256", "8x8:256-256", "7x7:256-256", "3x3:256-256",
]  # fmt: skip
WAYS, REDUCED = ("direct", "Winograd", "bfloat16"), "PyTorch bfloat16"
TASKS = ("forward", "backward", "dw", "dx")
GRADIENTS = {"forward": 1, "backward": 2, "dw": 1, "dx": 1}  # how often the operations of one pass
WRONG, WRONG_IN_BFLOAT16 = 1e-4, 2e-2  # of the largest number: more is no rounding

# (images, kernel, settings), a kind of kernel each
KINDS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3x3": ((8, 16, 16, 64), (3, 3, 64, 64), {"padding": "same"}),
    "3x3, 256 channels, 8x8": ((16, 8, 8, 256), (3, 3, 256, 256), {"padding": "same"}),
    "3x3, 3x3 pixels": ((64, 3, 3, 256), (3, 3, 256, 256), {"padding": "same"}),
    "first layer": ((8, 32, 32, 3), (3, 3, 3, 32), {"padding": "same"}),
    "1x1": ((8, 16, 16, 64), (1, 1, 64, 64), {}),
    "5x5": ((8, 14, 14, 6), (5, 5, 6, 16), {}),
    "3x3, stride 2": ((8, 16, 16, 32), (3, 3, 32, 64), {"padding": "same", "strides": 2}),
    "3x3, dilation 2": ((8, 16, 16, 32), (3, 3, 32, 32), {"padding": "same", "dilation": 2}),
    "3x3, 4 groups": ((8, 16, 16, 64), (3, 3, 16, 64), {"padding": "same", "groups": 4}),
    "depthwise": ((8, 16, 16, 64), (3, 3, 1, 64), {"padding": "same", "groups": 64}),
}


def arrays_of(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Images, and weights as large as trained ones, in float32."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(kernel_shape) / np.sqrt(np.prod(kernel_shape[:3]))
    return rng.standard_normal(x_shape, np.float32), weights.astype(np.float32)


def forward(way: str, x: np.ndarray, kernel: np.ndarray, **settings: Any) -> tuple[np.ndarray, Any]:
    """The convolution by one of our ways, and what its gradients need."""
    from pellucid import kernels

    before = kernels.winograd_enabled(), backend.get_precision()
    kernels.set_winograd(way == "Winograd")
    backend.set_precision("bfloat16" if way == "bfloat16" else "float32")
    try:
        return backend.forward("conv2d", x, kernel, **settings)
    finally:
        kernels.set_winograd(before[0])
        backend.set_precision(before[1])


def takes(way: str, saved: Any) -> bool:
    """Whether this way was taken: there always is a direct one."""
    return way == "direct" or saved.implementation.forward.__module__.endswith(way.lower())


# Errors --------------------------------------------------------------------------------------------------------------


def errors(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], **settings: Any) -> dict[str, dict[str, float]]:
    """Per way the largest error of the output and of both gradients, as a part of the largest number, against float64."""
    x, kernel = arrays_of(x_shape, kernel_shape)
    with backend.using("numpy"):
        y, saved = backend.forward("conv2d", x.astype(np.float64), kernel.astype(np.float64), **settings)
        dy = np.random.default_rng(1).standard_normal(y.shape)
        dy = dy.astype(np.float32).astype(np.float64)
        exact = (y, *backend.backward(dy, saved)[:2])
    found = {}
    for way in WAYS:
        y, saved = forward(way, x, kernel, **settings)
        if takes(way, saved):
            ours = (y, *backend.backward(dy.astype(np.float32), saved)[:2])
            pairs = zip(("forward", "dx", "dw"), ours, exact, strict=True)
            found[way] = {task: float(np.abs(a - b).max() / np.abs(b).max()) for task, a, b in pairs}
    return found


# Times ---------------------------------------------------------------------------------------------------------------


def ours(way: str, x: np.ndarray, kernel: np.ndarray, dy: np.ndarray) -> dict[str, Callable[[], object]]:
    """The three calls that are timed; none if this way is not taken here."""
    _, saved = forward(way, x, kernel, padding="same")
    if not takes(way, saved):
        return {}
    calls: dict[str, Callable[[], object]] = {
        "forward": lambda: forward(way, x, kernel, padding="same"),
        "dw": lambda: backend.backward(dy, saved, input_gradient=False),
    }
    return calls | ({"backward": lambda: backend.backward(dy, saved)} if x.shape[3] > 3 else {})


def theirs(
    memory_format: Any, x: np.ndarray, kernel: np.ndarray, dy: np.ndarray, *, bfloat16: bool = False
) -> dict[str, Callable[[], object]]:
    """The same in PyTorch."""
    import torch

    def tensor(a: np.ndarray, *axes: int) -> torch.Tensor:
        kind = torch.bfloat16 if bfloat16 else torch.float32
        return torch.from_numpy(a).permute(axes).to(kind).contiguous(memory_format=memory_format)

    images, weights, upstream = tensor(x, 0, 3, 1, 2), tensor(kernel, 3, 2, 0, 1), tensor(dy, 0, 3, 1, 2)

    def gradients(*wanted: bool) -> Any:
        settings = [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [*wanted, False]
        return torch.ops.aten.convolution_backward(upstream, images, weights, None, *settings)

    calls: dict[str, Callable[[], object]] = {
        "forward": lambda: torch.conv2d(images, weights, padding=1),
        "dw": lambda: gradients(False, True),
    }
    return calls | ({"backward": lambda: gradients(True, True)} if x.shape[3] > 3 else {})


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Check and time one layer; a row of the result."""
    import torch

    from pellucid.benchmark.pytorch import modules

    height, width, ci, co = parse(name)
    x, kernel = arrays_of((options.batch, height, width, ci), (3, 3, ci, co))
    dy = np.random.default_rng(1).standard_normal((options.batch, height, width, co), np.float32)
    calls = {way: ours(way, x, kernel, dy) for way in WAYS}
    calls |= {f"PyTorch {label}": theirs(layout, x, kernel, dy) for label, layout in modules.FORMATS.items()}
    if calls["bfloat16"]:
        formats = modules.FORMATS.items()
        calls |= {f"{REDUCED} {label}": theirs(layout, x, kernel, dy, bfloat16=True) for label, layout in formats}
    wanted = calls["PyTorch NCHW"]["forward"]().permute(0, 2, 3, 1).numpy()
    for way in WAYS:
        if calls[way]:
            error = float(np.abs(calls[way]["forward"]()[0] - wanted).max() / np.abs(wanted).max())
            if not error <= (WRONG_IN_BFLOAT16 if way == "bfloat16" else WRONG):
                return {"refused": f"the outputs differ by {error:.1e} ({way})"}
    flat = {f"{way} {task}": call for way, tasks in calls.items() for task, call in tasks.items()}
    with torch.inference_mode():
        times, per_round = timing.interleave(flat, options.runs, seconds=options.seconds)
    gflop = 2e-9 * x.shape[0] * height * width * 9 * ci * co
    tasks = {task: compare(task, times, GRADIENTS[task] * gflop) for task in TASKS if f"direct {task}" in times}
    if "backward" in tasks:
        tasks["dx"] = difference(tasks["backward"], tasks["dw"], gflop)
    return {"gflop": gflop, "calls_per_round": per_round, "tasks": tasks}


def compare(task: str, times: dict[str, list[float]], gflop: float) -> dict[str, Any]:
    """Times and rates of all ways, and how many times quicker ours are than PyTorch in its quicker format, in that precision."""
    of = {key.removesuffix(f" {task}"): np.array(s) for key, s in times.items() if key.endswith(f" {task}")}

    def quickest(ways: list[str]) -> str:
        return min(ways, key=lambda way: float(np.median(of[way])))

    reduced = [way for way in of if way.startswith(REDUCED)]
    best = quickest([way for way in of if way.startswith("PyTorch") and way not in reduced])
    rivals = {way: best for way in WAYS if way in of}
    if reduced:
        rivals["bfloat16"] = quickest(reduced)
    return {
        "milliseconds": {way: timing.spread(1e3 * values) for way, values in of.items()},
        "gflops": {way: timing.spread(gflop / values) for way, values in of.items()},
        "best": best,
        "best_in_bfloat16": rivals.get("bfloat16"),
        "ratios": {way: timing.spread(of[rival] / of[way]) for way, rival in rivals.items()},
    }


def difference(both: dict[str, Any], dw: dict[str, Any], gflop: float) -> dict[str, Any]:
    """What is left of the time for both gradients. Other work on the machine can leave nothing: such a way is left out."""
    medians = {way: ms["median"] - dw["milliseconds"][way]["median"] for way, ms in both["milliseconds"].items()}
    left = {way: ms for way, ms in medians.items() if ms > 0.1 * both["milliseconds"][way]["median"]}
    rates = {way: {"median": float(f"{1e3 * gflop / ms:.4g}")} for way, ms in left.items()}
    times = {way: {"median": ms} for way, ms in left.items()}
    best = {name: both[name] for name in ("best", "best_in_bfloat16")}
    return {"milliseconds": times, "gflops": rates, **best}


def parse(name: str) -> tuple[int, int, int, int]:
    """Height, width, input and output channels from a name such as 16x16:64-128."""
    found = re.fullmatch(r"(\d+)x(\d+):(\d+)-(\d+)", name)
    if not found or min(map(int, found.groups())) < 1:
        raise SystemExit(f"There is no layer {name!r}; wanted HEIGHTxWIDTH:CHANNELS-FILTERS, for example 16x16:64-128.")
    height, width, ci, co = map(int, found.groups())
    return height, width, ci, co


# Printing ------------------------------------------------------------------------------------------------------------


def line(row: dict[str, Any]) -> str:
    """A row in a few words."""
    told = []
    for task, found in row["tasks"].items():
        rates = (f"{way} {found['gflops'][way]['median']:.0f}" for way in ways(found) if way in found["gflops"])
        told.append(f"{task} {', '.join(rates)}")
    return "; ".join(told)


def ways(found: dict[str, Any]) -> tuple[str, ...]:
    """What stands side by side: ours, and PyTorch's quicker memory format in each precision."""
    return *WAYS, found["best"], found["best_in_bfloat16"] or REDUCED


def table(result: Result) -> Any:
    """The result as a table."""
    from rich.table import Table

    peak, batch = result["peak"]["gflops"], result["settings"]["batch"]
    shown = Table(title=f"3x3 convolutions, batches of {batch}: GFLOP/s and share of the peak, {peak:.0f} GFLOP/s")
    for heading in ("layer", "", *WAYS, "PyTorch", REDUCED, *(f"{way}, quicker by" for way in WAYS)):
        shown.add_column(heading, justify="left" if heading in ("layer", "") else "right")
    for row in result["layers"]:
        for task, found in row.get("tasks", {}).items():
            rates = [found["gflops"].get(way, {}).get("median") for way in ways(found)]
            ratios = [found.get("ratios", {}).get(way) for way in WAYS]
            shown.add_row(
                row["layer"] if task == "forward" else "",
                task,
                *(f"{rate:.0f} ({rate / peak:.0%})" if rate else "·" for rate in rates),
                *(timing.times_x(ratio) if ratio else "·" for ratio in ratios),
            )
    return shown


def main() -> int:
    """Measure, print, save; 1 if a layer was refused."""
    parser = harness.parser(__doc__, runs=9, networks=[])
    parser.add_argument("--layers", nargs="+", default=LAYERS, metavar="HxW:CI-CO", help="default: all of the table")
    parser.add_argument("--batch", type=harness.positive, default=128, metavar="N", help="default: 128")
    parser.add_argument(
        "--seconds", type=float, default=0.02, metavar="X", help="of the quickest in a round; default: 0.02"
    )
    parser.add_argument("--malloc", choices=("default", "tuned"), default="default", help="the C library's settings")
    options = parser.parse_args()
    for name in options.layers:
        parse(name)
    harness.prepare(options)
    settings = {name: getattr(options, name) for name in ("runs", "batch", "seconds", "malloc")}
    result = receipt("layers", harness.command(), **settings) | {"peak": measure_peak()._asdict()}
    path = harness.output(options, "layers")

    def row(name: str) -> dict[str, Any]:
        # The peak is looked for again and again: other work on the machine can hide it, and shares would look too good.
        result["peak"] = Peak(**result["peak"]).or_more(measure_peak())._asdict()
        return measure(name, options)

    status = series(result, options.layers, row, line=line, table=table, path=path, kind="layer")
    result["errors"] = {}
    console = make_console()
    console.print("Largest errors against float64, as parts of the largest number:", highlight=False)
    for kind, case in KINDS.items():
        found = result["errors"][kind] = errors(*case[:2], **case[2])
        for way, parts in found.items():
            shown = ", ".join(f"{task} {error:.1e}" for task, error in parts.items())
            console.print(f"  {kind}, {way}: {shown}", highlight=False)
    save(result, path)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
