"""Table 2: the sets that the paper trains on, counted by the readers where the user has them."""

from linbench.published.numbers import Quoted, lines
from linbench.reports.paper import commands, faults
from linbench.reports.paper.cell import Measured
from linbench.reports.paper.evidence import Evidence, Found
from linbench.reports.paper.layout import Entry, PaperTable, columns
from linbench.reports.paper.quantities import IMAGES, MASKS

TITLE = "Table 2"
#: The names that readers go by.
SETS = {"COCONut-B": "coconut", "EntitySeg": "entityseg", "DIS5K": "dis"}


def build(evidence: Evidence) -> PaperTable:
    """A line for each set."""
    found = lines("table 2")
    made = [
        columns(
            quantity,
            [
                Entry(
                    line["dataset"],
                    Quoted(line[name], TITLE),
                    _counted(evidence, SETS[line["dataset"]], name),
                    commands.statistics(SETS[line["dataset"]]),
                )
                for line in found
            ],
        )
        for quantity, name in ((IMAGES, "images"), (MASKS, "masks"))
    ]
    return PaperTable(
        "table-2",
        "Table 2: data sets for training",
        tuple(line["dataset"] for line in found),
        tuple(column for group in made for column in group),
        faults=(faults.SET_SIZES, faults.MIX),
        device=evidence.device,
    )


def _counted(evidence: Evidence, name: str, what: str) -> list[Found]:
    number = evidence.sets.get(name, {}).get(what)
    return [] if number is None else [Found({}, Measured(number, provenance={"counted": f"the reader {name}"}))]
