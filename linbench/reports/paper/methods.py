"""The lines of the paper's tables: which model of linbench stands in which."""

from collections.abc import Sequence
from dataclasses import dataclass

from linbench.published.numbers import Quoted
from linbench.reports.paper import commands, seeds
from linbench.reports.paper.cell import Quantity
from linbench.reports.paper.evidence import Count, Evidence, Found
from linbench.reports.paper.layout import Column, Entry, columns
from linbench.reports.paper.quantities import ALIKE, FPS, METRICS, PARAMETERS
from linbench.reports.paper.scores import Score

RATES = ({"preset": "paper"}, {"preset": "best"})


@dataclass(frozen=True)
class Line:
    """A method of a table.

    row: As it is printed here.
    name: As the quoted table has it.
    backbone: linbench's, of which rate and parameters are.
    model: As accuracy records name it; empty for ``backbone``.
    counted: What the paper's parameters count, as far as arithmetic tells.
    recipe: The recipe that would train it, or one of PIPELINES; empty for published weights.
    weights: The file of published weights.
    fusions: Decoders that its scores may have.
    """

    row: str
    name: str
    backbone: str
    counted: Count
    recipe: str = "paper"
    model: str = ""
    weights: str = ""
    fusions: tuple[str, ...] = ("conv", "none")

    @property
    def scored(self) -> str:
        """Its name in accuracy records."""
        return self.model or self.backbone

    def command(self, suite: str, size: int) -> str:
        """What would measure its accuracy, training included."""
        if not self.recipe:
            return commands.score(suite, self.scored, size, self.weights)
        fusion = self.fusions[0] if len(self.fusions) == 1 else "none"
        train, model = commands.training(self.scored, self.recipe, fusion)
        return f"{train} && {commands.score(suite, self.scored, size, model)}"

    def is_of(self, score: Score, size: int) -> bool:
        """Whether a score is of this line at a size of input."""
        return (
            score.backbone == self.scored
            and score.options == "{}"
            and score.fusion in self.fusions
            and score.pipeline in ((self.recipe,) if self.recipe == "no-distillation" else ("", "paper"))
            and score.size == (size, size)
        )


@dataclass(frozen=True)
class Source:
    """A quoted table: what it is called, its lines by method."""

    title: str
    lines: dict[str, dict[str, str]]

    def quoted(self, line: Line, name: str) -> Quoted:
        """One of its numbers."""
        return Quoted(self.lines[line.name][name], self.title)


def parameters(lines: Sequence[Line], source: Source, evidence: Evidence, size: int) -> list[Column]:
    """Parameters as the paper counts them, and all of them counted alike: without head, built for ``size``."""
    printed = [
        Entry(
            line.row,
            source.quoted(line, "params_m"),
            evidence.parameters(line.counted),
            commands.count(line.counted),
        )
        for line in lines
    ]
    same = {line.row: alike(line, size) for line in lines}
    counted = [Entry(row, None, evidence.parameters(of), commands.count(of)) for row, of in same.items()]
    return [*columns(PARAMETERS, printed), *columns(ALIKE, counted)]


def alike(line: Line, size: int) -> Count:
    """The count that compares: the backbone alone, built for one size."""
    return Count(line.backbone, size, options=line.counted.options)


def rates(lines: Sequence[Line], source: Source, evidence: Evidence, part: str = "backbone") -> list[Column]:
    """Images per second at 1024², under the presets ``paper`` and ``best``."""
    entries = []
    for line in lines:
        fusion = line.fusions[0] if part != "backbone" else "none"
        found = evidence.rates(line.backbone, 1024, part, fusion)
        entries.append(
            Entry(line.row, source.quoted(line, "fps"), found, commands.rate(line.backbone, 1024, part, fusion))
        )
    return columns(FPS, entries, RATES)


def metric(
    name: str, column: str, lines: Sequence[Line], source: Source, evidence: Evidence, size: int
) -> list[Column]:
    """One accuracy of all lines.

    name: Of METRICS. ``column``: Its name in the quoted table.
    """
    suite = name.split("_")[0]
    quantity: Quantity = METRICS[name]
    entries = [
        Entry(line.row, source.quoted(line, column), scored(line, name, evidence, size), line.command(suite, size))
        for line in lines
    ]
    return columns(quantity, entries)


def scored(line: Line, name: str, evidence: Evidence, size: int) -> list[Found]:
    """What was measured of a line's metric, none of it from the embedded set and the like."""
    mine = [s for s in evidence.scores if s.metric == name and not s.outside and line.is_of(s, size)]
    return seeds.found(mine, dict(evidence.closed))
