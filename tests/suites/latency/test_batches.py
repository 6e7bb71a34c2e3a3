"""The axis batch of the suite latency: how the time grows with it, how cells are named, and what does not fit."""

import json
import subprocess
import sys
from statistics import median

import pytest
import torch

from linbench.suites import suite
from linbench.suites.latency.cells import cells
from linbench.suites.latency.forward import build
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.runner.model_options import SMALL
from linbench.suites.runner.process import timer
from tests.suites.latency.test_latency import _address_space_of_a_child

COMMON = {"resolutions": ((64, 64),), "presets": ("paper",), "device": "cpu", "threads": 1}
CHILD = """
import json, resource, sys
from linbench.suites.latency.key import LatencyKey
from linbench.suites.runner.rounds import run
from linbench.suites.runner.sampling import SamplingConfig
from linbench.suites.runner.suite import Cell
limit = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for line in sys.stdin:
    entries, variables = json.loads(line)
    cell = Cell(LatencyKey.from_json(entries), '', {}, variables)
    print(run('latency', cell, SamplingConfig(cell_seconds=0.2, timeout_s=100), 0).status)
"""


NEWER = ("vrwkv6-t", "vig-t", "vig-h-t", "mila-t", "vittt-t", "h-vittt-t", "efficientvit-l0")


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in NEWER)])
def test_latency_grows_with_the_batch(name: str) -> None:
    times = []
    for cell in cells(LatencyOptions(backbones=(name,), batches=(1, 16), **COMMON)):
        model, inputs = build(cell.key, torch.device("cpu"))
        forward_ms = timer(lambda model=model, inputs=inputs: model(*inputs), torch.device("cpu"))
        with torch.inference_mode():
            forward_ms()
            times.append(median(forward_ms() for _ in range(5)))
    assert times[1] > 1.5 * times[0]


def test_a_name_tells_a_batch_other_than_one() -> None:
    latency = suite["latency"].build()
    one, eight = cells(LatencyOptions(backbones=("vit-t",), batches=(1, 8), **COMMON))
    assert "batch" not in latency.cell_name(one)
    assert " batch 8 " in latency.cell_name(eight)


def test_a_batch_that_does_not_fit_is_oom_and_stays_in_the_key() -> None:
    one, many = cells(LatencyOptions(backbones=("vit-t",), batches=(1, 8192), **COMMON))  # its images take 384 MiB
    requests = "\n".join(json.dumps([cell.key.to_json(), dict(cell.variables)]) for cell in (one, many))
    limit = _address_space_of_a_child() + 2**28
    command = [sys.executable, "-c", CHILD, str(limit)]
    done = subprocess.run(command, input=requests, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["ok", "oom"], done.stderr
    assert many.key.to_json()["batch"] == 8192
