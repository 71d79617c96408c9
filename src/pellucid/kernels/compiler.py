"""From Python to object files, by Numba.

Only ``jit`` imports this file, and only for what the cache does not hold. Numba infers types and writes LLVM's language, LLVM
makes it fast. Nothing is run here: the machine code goes into an object file that needs nothing but the C library, so that it
runs in processes that never load Numba. Kernels allocate nothing and raise nothing, which leaves Numba's runtime out of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import _dynfunc, types
from numba.core import callconv, codegen, cpu, descriptors, fastmathpass, registry
from numba.extending import typeof_impl

from . import intrinsics
from .intrinsics import WORD
from .jit import Array, Inline, Intrinsic, Type

# The C structure of an array, in bytes from the beginning of its Python object: the numbers, how many axes, the shape, …
HEADER = object.__basicsize__
NUMBERS, AXES, SHAPE, DTYPE, FLAGS = (HEADER + 8 * i for i in (0, 1, 2, 5, 6))
ORDER, TYPE = (
    HEADER + 10,
    HEADER + 12,
)  # of a dtype: a character, ">" for numbers the wrong way round; and which type it is
CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400  # flags


class _Library(codegen.AOTCodeLibrary):
    """The code of one function and all that it calls. That of a kernel is optimised, all else when it is part of one.

    The exception are sums whose order LLVM may choose: it chooses in the function itself, so that all kernels add up alike.
    """

    door, chosen = "", False

    def _optimize_final_module(self) -> None:
        if self.door:
            for value in (*self._final_module.functions, *self._final_module.global_variables):
                if not value.is_declaration and value.name != self.door:
                    value.linkage = "internal"  # nobody else asks for it
        if self.door or self.chosen:
            super()._optimize_final_module()


class _Codegen(codegen.JITCPUCodegen):
    """Code for this CPU, which is not loaded into this process."""

    _library_class = _Library

    def _add_module(self, module: Any) -> None:
        pass


class _CallConv(callconv.CPUCallConv):
    """Errors are codes; what Numba would say about them is a pickle, of which there shall be none in an object file."""

    def set_static_user_exc(self, *arguments: Any, **settings: Any) -> None:
        pass


class _Context(cpu.CPUContext):
    """Numba's own context, from which it has all that it knows of types and functions, with doors instead of wrappers."""

    def __init__(self) -> None:
        self.__dict__.update(vars(registry.cpu_target.target_context))
        self._internal_codegen = _Codegen("pellucid")

    @property
    def call_conv(self) -> _CallConv:
        return _CallConv(self)

    def post_lowering(self, module: Any, library: Any) -> None:
        if self.fastmath:
            fastmathpass.rewrite_module(module, self.fastmath)
            library.chosen = True

    def get_executable(self, library: Any, description: Any, environment: Any) -> Any:
        library.finalize()
        return _dynfunc.make_function(description.lookup_module(), description.qualname, "", 0, environment, (library,))

    def create_cpython_wrapper(self, library: Any, description: Any, *arguments: Any, **settings: Any) -> None:
        module = self.create_module("door")
        kind = self.call_conv.get_function_type(description.restype, description.argtypes)
        inside = ir.Function(module, kind, description.llvm_func_name)
        library.door = f"{description.modname}.{description.qualname}"
        door = ir.Function(module, ir.FunctionType(WORD, [WORD]), library.door)
        builder = ir.IRBuilder(door.append_basic_block("entry"))
        values = [
            _argument(self, builder, builder.add(door.args[0], WORD(8 * i)), wanted, WORD(i + 1))
            for i, wanted in enumerate(description.argtypes)
        ]
        status, _ = self.call_conv.call_function(builder, inside, description.restype, description.argtypes, values)
        builder.ret(builder.select(status.is_error, WORD(-1), WORD(0)))
        library.add_ir_module(module)


def _argument(context: Any, builder: Any, place: Any, wanted: types.Type, number: Any) -> Any:
    """The argument that lies in a block at this place; the door returns the ``number`` of one that is wrong."""

    def load(place: Any, offset: int = 0, kind: Any = WORD) -> Any:
        return builder.load(builder.inttoptr(builder.add(place, WORD(offset)), kind.as_pointer()), typ=kind)

    if isinstance(wanted, types.Float):
        number = load(place, 0, ir.DoubleType())
        return number if wanted.bitwidth == 64 else builder.fptrunc(number, ir.FloatType())
    if not isinstance(wanted, types.Array):
        return load(place)
    byte, half = ir.IntType(8), ir.IntType(32)
    array = load(place)
    dtype = load(array, DTYPE)
    flags = half(CONTIGUOUS | ALIGNED | (WRITEABLE if wanted.mutable else 0))
    swapped = byte(ord(np.dtype(np.int16).newbyteorder("S").byteorder))
    for fits in (
        builder.icmp_signed("==", load(array, AXES, half), half(wanted.ndim)),
        builder.icmp_signed("==", builder.and_(load(array, FLAGS, half), flags), flags),
        builder.icmp_signed("==", load(dtype, TYPE, half), half(np.dtype(wanted.dtype.name).num)),
        builder.icmp_signed("!=", load(dtype, ORDER, byte), swapped),
    ):
        with builder.if_then(builder.not_(fits), likely=False):
            builder.ret(number)
    axes = load(array, SHAPE)
    shape = [load(axes, 8 * axis) for axis in range(wanted.ndim)]
    return intrinsics.array_on(context, builder, wanted, load(array, NUMBERS), shape)


class _Target(descriptors.TargetDescriptor):
    options = cpu.CPUTargetOptions
    typing_context = property(lambda self: registry.cpu_target.typing_context)

    @functools.cached_property
    def target_context(self) -> _Context:
        return _Context()


class _Dispatcher(registry.CPUDispatcher):
    targetdescr = _Target("cpu")


def _dispatcher(function: Callable, **options: Any) -> _Dispatcher:
    common = {"nopython": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False}
    return _Dispatcher(function, targetoptions=common | options)


@typeof_impl.register(Inline)
def _(value: Inline, context: Any) -> types.Type:
    """Numba comes here when a function that it compiles mentions one that is marked ``inline``."""
    if value.dispatcher is None:
        value.dispatcher = _dispatcher(value.function, no_cpython_wrapper=True, fastmath=set(value.fastmath))
    return types.Dispatcher(value.dispatcher)


@typeof_impl.register(Intrinsic)
def _(value: Intrinsic, context: Any) -> types.Type:
    return registry.cpu_target.typing_context.resolve_value_type(getattr(intrinsics, value.name))


def _numba(wanted: Type) -> types.Type:
    if isinstance(wanted, Array):
        return types.Array(getattr(types, wanted.dtype), wanted.ndim, "C", readonly=not wanted.written)
    return getattr(types, wanted)


def object_code(function: Callable, arguments: tuple[Type, ...]) -> bytes:
    """A kernel and its door as an object file."""
    dispatcher = _dispatcher(function)
    signature = types.void(*map(_numba, arguments))
    dispatcher.compile(signature)
    library = dispatcher.overloads[signature.args].library
    strangers = [
        f.name for f in library._final_module.functions if f.is_declaration and f.name.startswith(("numba", "NRT"))
    ]
    if strangers:
        raise RuntimeError(f"{function.__qualname__} needs functions that only Numba has: {strangers}")
    return library.emit_native_object()
