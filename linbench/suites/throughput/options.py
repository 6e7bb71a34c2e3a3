"""The options of the suite ``throughput``: those of a forward, without a batch, which it finds."""

from dataclasses import dataclass, fields

from linbench.suites.latency.options import ForwardOptions, LatencyOptions


@dataclass(frozen=True, kw_only=True)
class ThroughputOptions(ForwardOptions):
    """The cells of ``throughput``: every backbone × part × size × dtype × preset."""

    def __post_init__(self) -> None:
        """Validate every field; raises ValueError for a part that takes one image."""
        super().__post_init__()
        if decoding := [part for part in self.parts if part.decodes]:
            raise ValueError(f"--part {decoding[0]}: it takes one image; throughput allows backbone and encoder")

    def forwards(self) -> LatencyOptions:
        """Return the options of the latencies of one image with the same models, sizes and settings."""
        return LatencyOptions(**{field.name: getattr(self, field.name) for field in fields(self)})
