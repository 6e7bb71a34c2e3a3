"""All tables of the paper by name, and the evidence for them from records."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from linbench.records import BadRecord, Record
from linbench.reports.latency.rows import SUITE, key_digest, rows
from linbench.reports.paper import table1, table2, table3, table4, table5, table6, table7
from linbench.reports.paper.evidence import Count, Evidence
from linbench.reports.paper.layout import PaperTable
from linbench.reports.paper.methods import Line, alike
from linbench.reports.paper.scores import Score, scores

#: What ``--table`` names, and what it is made of.
TABLES: Mapping[str, Sequence[Callable[[Evidence], PaperTable]]] = {
    "1": (table1.build,),
    "2": (table2.build,),
    "3": (table3.build,),
    "4": (table4.build,),
    "5": (table5.build,),
    "6": (table6.encoder, table6.fusion),
    "7": (table7.build,),
}


#: The lines whose parameters a table counts, and the size that it counts them alike for.
COUNTED: Mapping[str, tuple[Sequence[Line], int]] = {
    "3": (table3.LINES, table3.SIZE),
    "4": (table4.LINES, table4.SIZE),
    "5": (table5.LINES, table5.SIZE),
    "6": (table6.ENCODERS, table6.SIZE),
}


def needed(tables: Iterable[str]) -> list[Count]:
    """Every count of parameters that these of TABLES show."""
    found: list[Count] = []
    for name in tables:
        lines, size = COUNTED.get(name, ((), 0))
        found += [of for line in lines for of in (line.counted, alike(line, size))]
        found += table1.COUNTS.values() if name == "1" else ()
    return list(dict.fromkeys(found))


def measured(
    records: Iterable[Record], code_hashes: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, list[Score], list[str]]:
    """The rows of the latency records, the scores of the accuracy records, and what was wrong with those left out."""
    records = list(records)
    found, faults = scores(records)
    latency = []
    for record in records:
        if record.key.get("suite") == SUITE:
            try:
                key_digest(record)
            except BadRecord as error:
                faults.append(str(error))
                continue
            latency.append(record)
    return rows(latency, code_hashes), found, faults


def devices(latency: pd.DataFrame, found: Iterable[Score]) -> list[str]:
    """Everything that something was measured on, in the order of names."""
    names = set() if latency.empty else {str(name) for name in latency["device"]}
    return sorted(names | {score.device for score in found})
