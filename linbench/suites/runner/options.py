"""Which options of ``linbench run`` choose the cells of which suite: one that no named suite takes is refused."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linbench.suites.runner.suite import Suite

#: Of suites over backbones, and of the one over kernels. Options in neither, as --results, are every suite's.
BACKBONES = frozenset(
    (
        *("backbone", "res", "preset", "dtype", "device", "impl", "attention", "compile", "option", "setting"),
        *("part", "prompts", "fusion", "energy", "threads", "search-seconds"),
    )
)
KERNELS = frozenset(("op", "case", "direction", "dtype", "device", "impl", "threads"))
#: Of suites of accuracy, and of those among them over promptable segmenters, and over boxes of a detector.
ACCURACY = frozenset(
    (
        *("backbone", "res", "dtype", "device", "impl", "attention", "option", "threads"),
        *("data", "protocol", "images", "checkpoint", "weights", "random", "max-bad", "eval-batch"),
    )
)
SEGMENTERS = ACCURACY | {"fusion"}
DETECTED = SEGMENTERS | {"boxes"}


def refuse_unused(asked: Iterable[str], suites: "Mapping[str, Suite]") -> None:
    """Raise ValueError for an option that chooses cells of some suite, but of none of ``suites``.

    asked: Options given by hand, without their hyphens.
    """
    taken = frozenset[str]().union(*(suite.takes for suite in suites.values()))
    for option in asked:
        if option in (BACKBONES | KERNELS | DETECTED) - taken:
            who = f"the suite {next(iter(suites))} does" if len(suites) == 1 else f"{' and '.join(suites)} do"
            raise ValueError(
                f"--{option}: {who} not take it; allowed are {', '.join(f'--{t}' for t in sorted(taken))}"
            )
