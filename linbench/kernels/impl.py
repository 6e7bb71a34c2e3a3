"""Which implementation of an op runs. It is always an argument and always stored with the number."""

from linbench.choices import Impl as Impl


class Unsupported(RuntimeError):
    """An implementation that this op lacks, or lacks on this machine; the message names an alternative."""


def is_reference(impl: Impl | str, op: str) -> bool:
    """Return whether ``impl`` is the reference, for an op without a vendor implementation.

    Raises Unsupported for ``vendor``, ValueError for an unknown implementation.
    """
    if Impl(impl) is Impl.VENDOR:
        raise Unsupported(f"{op} has no vendor implementation; use impl='fast' or impl='reference'")
    return Impl(impl) is Impl.REFERENCE
