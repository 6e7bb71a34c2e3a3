"""A module of this process: measured as it is, left as it was, whatever it returns."""

import pytest
import torch
import torchvision
from torch import nn

from linbench.records import Status
from linbench.suites.latency.live import LiveModel, measure_live


class Net(nn.Module):
    """A convolution and a norm, whose output is nested."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, image):
        return {"maps": [self.norm(self.patches(image))], "size": image.shape[2:]}


def measured(model, size=(64, 64), batch=1, **options):
    return measure_live(LiveModel.of(model, **options), size, batch, 0.3)


def test_the_record_counts_what_the_module_does_and_says_where_it_ran() -> None:
    record = measured(Net(), (64, 96), 2)
    assert record.status is Status.OK
    assert record.key["process"] == "this one" and record.key["backbone"] == "Net"
    assert (record.key["height"], record.key["width"], record.key["batch"]) == (64, 96, 2)
    assert record.metrics["parameters"]["value"] == 3 * 8 * 16 + 8 + 16
    assert record.metrics["flops"]["value"] == 2 * (2 * 16 * 24) * 8 * (3 * 16)
    assert record.metrics["flops"]["coverage"] == 1
    assert len(record.rounds) == 1 and len(record.rounds[0]["samples_ms"]) >= 3


def test_the_callers_module_keeps_its_mode_dtype_and_statistics() -> None:
    net = Net().train()
    net.norm.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    record = measured(net, dtype=torch.bfloat16)
    assert record.key["dtype"] == "bfloat16"
    assert net.training and not net.norm.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    "output",
    [lambda x: x, lambda x: (x, x), lambda x: [x], lambda x: {"out": x, "loss": None}],
    ids=["tensor", "tuple", "list", "dictionary"],
)
def test_a_function_may_return_tensors_in_anything(output) -> None:
    record = measured(lambda image: output(image.mean(1)), name="mean")
    assert record.status is Status.OK and "parameters" not in record.metrics


def test_a_torchvision_model_and_a_compiled_module_are_measured() -> None:
    assert measured(torchvision.models.squeezenet1_1(weights=None)).status is Status.OK
    compiled = measured(torch.compile(Net(), backend="aot_eager"))
    assert compiled.status is Status.OK
    assert compiled.key["engine"] == "compile" and compiled.key["backbone"] == "Net"
    assert compiled.metrics["flops"]["coverage"] == 1


def test_what_a_module_raises_is_the_outcome_of_that_size() -> None:
    record = measured(nn.Conv2d(4, 4, 1))
    assert record.status is Status.FAILED and "expected" in record.reason
    assert measured(lambda image: 3, name="three").reason.startswith("TypeError: three returns no tensor")
    assert measured(lambda image: image * torch.nan, name="nan").status is Status.WRONG


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="a model is a name, a module or a function of an image, got int"):
        LiveModel.of(3)
