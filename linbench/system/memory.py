"""Whether an error means that memory ran out, on the CPU or on a GPU."""

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory ran out, on the CPU or on a GPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
