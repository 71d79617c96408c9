"""The pickles of the CIFAR archives, read without ever running what a pickle may ask for.

A pickle is a program. The official files use a handful of names, and none of them is looked up here: each becomes an
inert stand-in that only stores what it is given, and the bytes of the one array are turned into NumPy afterwards.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from ...errors import DataError


def read_pickle(data: bytes, name: str) -> dict[str, Any]:
    """The dictionary in a CIFAR file: text keys; values are bytes, numbers, lists of them, and uint8 arrays.

    Raises
    ------
    DataError
        naming the file (``name``), when the pickle asks for anything else, is damaged, or holds no dictionary.

    >>> read_pickle(pickle.dumps({b"labels": [6, 9]}, protocol=2), "data_batch_1")
    {'labels': [6, 9]}
    >>> read_pickle(pickle.dumps(print), "data_batch_1")
    Traceback (most recent call last):
        ...
    pellucid.errors.DataError: data_batch_1 is refused: its pickle asks for builtins.print, ...
    """
    array = type("Array", (_Array,), {})  # fresh classes for every file: a pickle can set attributes on what it names
    dtype = type("DType", (_DType,), {})
    stand_ins = {
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: array(),
        ("numpy._core.multiarray", "_reconstruct"): lambda *_: array(),
        ("numpy", "ndarray"): object(),
        ("numpy", "dtype"): dtype,
        ("_codecs", "encode"): lambda text, encoding: _encode(text, encoding),
    }

    # The Python implementation: the C one can be made to allocate gigabytes for its memo by a few bytes.
    class Unpickler(pickle._Unpickler):  # type: ignore[name-defined]
        def find_class(self, module: str, attribute: str) -> Any:
            if (module, attribute) not in stand_ins:
                raise DataError(
                    f"{name} is refused: its pickle asks for {module}.{attribute}, which no official file does. "
                    "Nothing was run. Get the file from the official source."
                )
            return stand_ins[module, attribute]

    try:
        content = Unpickler(io.BytesIO(data), encoding="bytes").load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle fails in as many ways as there are instructions
        raise DataError(
            f"{name} is damaged or no CIFAR file in the python version ({type(error).__name__}: {str(error)[:100]}). "
            "Get it again from the official source."
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{name} is no CIFAR file: a dictionary was expected, it holds a {type(content).__name__}.")
    return {_text(key): _plain(value, name) for key, value in content.items()}


class _DType:
    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        pass


class _Array:
    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _plain(value: Any, name: str) -> Any:
    if not isinstance(value, _Array):
        return value
    match value.state:
        case (_, tuple(shape), _DType(code=code), fortran, bytes(data)) if _text(code) in ("u1", "uint8") and all(
            type(side) is int and side >= 0 for side in shape
        ):
            count = 1
            for side in shape:
                count *= side
            if count == len(data):
                return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")
    raise DataError(f"{name} is no CIFAR file: its array is not made of bytes, or not as long as its shape says.")


def _encode(text: Any, encoding: Any) -> bytes:
    # Python 3 writes the bytes of a protocol 2 pickle as encode(text, "latin1").
    if not isinstance(text, str) or _text(encoding) != "latin1":
        raise DataError("a text in an unknown encoding")
    return text.encode("latin1")


def _text(key: Any) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)
