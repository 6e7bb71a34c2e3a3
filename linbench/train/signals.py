"""A request to stop: SIGINT and SIGTERM are kept until the step is done, and the run's caller asks for them."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

KNOWN = (signal.SIGINT, signal.SIGTERM)
SAID = b"\nlinbench: stopping after this step, with a state on the disk; once more stops at once\n"


@contextmanager
def kept() -> Iterator[Callable[[], int]]:
    """Yield a function that gives the number of the signal that came, or 0; a second one is KeyboardInterrupt."""
    came: list[int] = []

    def keep(number: int, _: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        os.write(2, SAID)

    before = {number: signal.signal(number, keep) for number in KNOWN}
    try:
        yield lambda: came[0] if came else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
