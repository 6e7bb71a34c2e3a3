"""Runs functions where Triton kernels are interpreted on CPU tensors, so that no GPU is needed.

Triton reads TRITON_INTERPRET while it defines a kernel, so the functions run in another process, which serves
the whole test session.
"""

import os
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from typing import Any


def interpreted(function: Callable[..., Any], *args: Any) -> Any:
    """Return ``function(*args)`` as computed in the interpreting process; its errors are raised here.

    function: Of a module's top level, of the package or of a test: it is sent by name.
    args: Anything that pickle takes; tensors keep their strides.
    """
    return pickle.loads(_process().submit(_call, pickle.dumps((function, args))).result())


@cache
def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=_interpret)


def _interpret() -> None:
    if "triton" in sys.modules:
        raise RuntimeError("Triton is imported before TRITON_INTERPRET is set")
    os.environ["TRITON_INTERPRET"] = "1"
    _mend_index()


def _mend_index() -> None:
    """Triton 3.6 takes ``int()`` of an array of one number, which numpy 2.4 refuses; later ones squeeze it first."""
    import triton
    from triton.runtime import interpreter

    if not triton.__version__.startswith("3.6."):
        return
    patch = interpreter._patch_lang_tensor

    def mended(tensor: Any, scope: Any) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.squeeze()))

    interpreter._patch_lang_tensor = mended


def _call(request: bytes) -> bytes:
    function, args = pickle.loads(request)
    return pickle.dumps(function(*args))
