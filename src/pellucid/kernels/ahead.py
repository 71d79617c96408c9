"""Compiling on a second core what a training is going to need.

The first training on a machine waits for its kernels, and nearly all of that is Numba's Python, which runs on one core. So
when a training misses its first kernel, another process is started, the *assistant*. While this one compiles the kernels of
the way forward, in the order in which it needs them, the assistant compiles those of the way back. They meet in the cache.

The assistant is told one name at a time and answers when it is done. Where it dies, is slow or cannot be started, this process
compiles as if there was none. It ends when it is not asked for a while, and with the process that started it: then there is
nothing left to read.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

from . import cache

IDLE = 10.0  # seconds without work after which the assistant is sent home
PATIENCE = 20.0  # seconds to wait for a kernel that it has begun

FOLLOWERS = {
    "convolve.pack_weights": ("gemm._multiply",),  # a network with convolutions ends in a product
    "gemm._multiply": ("loss._cross_entropy",),
    "convolve.convolve": ("winograd_loops.convolve", "convolve.kernel_gradient"),  # most networks go on with 3x3
    "fused_loops.forward": ("winograd_loops.convolve", "fused_loops.backward"),
    "winograd_loops.convolve": (
        "winograd_loops.kernel_products",
        "winograd_loops._transform_back",
        "winograd_loops._turn",
    ),
    "winograd_loops.transform_input": ("winograd_loops.transform_both", "winograd_loops.multiply_both"),
    "bfloat16_loops.convolve": ("bfloat16_loops.transform", "bfloat16_loops.multiply", "bfloat16_loops.gather"),
    "depthwise._forward": ("depthwise._input_gradient", "depthwise._kernel_gradient"),
    "norm._statistics": ("norm._products", "norm._finish", "norm._derive"),
    "fused_norm._forward": ("fused_norm._products", "fused_norm._derive"),
    "group_norm._normalise": ("group_norm._derive",),
    "tail._forward": ("tail._backward",),
    "add._add": ("activation.relu_backward",),
    "pool._average_pool": ("pool._average_pool_backward",),
    "pool._global_average": ("pool._global_average_backward",),
    "dropout._drop": ("dropout._drop_backward",),
}
"""Which kernels a training needs later if it needs this one; those of the activations are known by their names."""

PACKAGE = f"{__package__}."
PROGRAM = f"import sys; sys.path[:] = sys.argv[1:]; from {__package__} import ahead; ahead.serve()"


class _Assistant:
    """The other process, and a thread that hands it one name after another."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *sys.path], bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=os.environ | {"PELLUCID_CACHE_DIR": str(folder.parent)},
        )  # fmt: skip
        self.asked: set[str] = set()
        self.wanted: list[str] = []  # what it is to compile next
        self.current = ""  # what it compiles now
        self.over = False
        self.change = threading.Condition()
        self.thread = threading.Thread(target=self._run, name="pellucid-ahead", daemon=True)
        self.thread.start()

    def ask(self, names: tuple[str, ...]) -> None:
        with self.change:
            self.wanted += [name for name in names if name not in self.asked]
            self.asked.update(names)
            self.change.notify_all()
        for name in names:
            self.ask(FOLLOWERS.get(name, ()))

    def leave(self, name: str) -> None:
        """This kernel is needed now: wait if the assistant is at it; if it has not begun it, it need not."""
        with self.change:
            self.asked.add(name)
            if name in self.wanted:
                self.wanted.remove(name)
            self.change.wait_for(lambda: self.current != name, PATIENCE)

    def stop(self) -> None:
        with self.change:
            self.over = True
            self.change.notify_all()
        self.process.kill()
        self.thread.join()

    def _next(self) -> str:
        with self.change:
            self.current = ""
            self.change.notify_all()
            self.change.wait_for(lambda: self.wanted or self.over, IDLE)
            self.over = self.over or not self.wanted
            self.current = "" if self.over else self.wanted.pop(0)
            return self.current

    def _run(self) -> None:
        with self.process, contextlib.suppress(OSError):
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            while name := self._next():
                self.process.stdin.write(f"{name}\n".encode())
                if not self.process.stdout.readline():
                    break
                cache.compiled.append(name.rpartition(".")[2])
        with self.change:
            self.over, self.current = True, ""
            self.change.notify_all()


_assistant: _Assistant | None = None
_training = False


def expect_training(processes: int) -> None:
    """From now on a kernel that has to be compiled is taken for a part of a training, if there may be two ``processes``."""
    global _training
    _training = processes > 1


def compiling(name: str) -> None:
    """Have compiled, beside this process, what will be needed after the kernel that it begins to compile."""
    names = FOLLOWERS.get(name.removeprefix(PACKAGE), ())
    if name.endswith("_forward") and name.startswith(f"{PACKAGE}activation."):
        names = (name.removeprefix(PACKAGE).replace("_forward", "_backward"),)
    if names and _training and _there():
        assert _assistant is not None
        _assistant.ask(names)


def needed(name: str) -> None:
    """Called before a kernel is looked for in the cache."""
    if _assistant is not None:
        _assistant.leave(name.removeprefix(PACKAGE))


def _there() -> bool:
    """Whether there is an assistant; one that was sent home is replaced, one that has failed is not."""
    global _assistant
    if _assistant is not None and (not _assistant.over or _assistant.process.poll() != 0):
        return not _assistant.over
    folder = cache.cache_folder()
    if folder is None or not Path(sys.executable or "").name.lower().startswith("python"):
        return False  # nowhere to meet, or part of another program that would be started in its place
    try:
        _assistant = _Assistant(folder)
    except OSError:
        return False
    return True


def serve() -> None:
    """What the assistant does."""
    from .jit import KERNELS

    for line in sys.stdin:
        KERNELS[PACKAGE + line.strip()].ready()
        print(flush=True)


def _stop() -> None:
    if _assistant is not None:
        _assistant.stop()


def _forget() -> None:
    """A forked child has no assistant; its parent's is none of its business."""
    global _assistant
    if _assistant is not None:
        for pipe in (_assistant.process.stdin, _assistant.process.stdout):
            if pipe is not None:
                pipe.close()
        _assistant.process.returncode = 0
        _assistant = None


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
