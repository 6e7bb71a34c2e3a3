"""What runs a model: PyTorch itself, or an engine that people deploy with. Importing this package imports none."""

from linbench.engines import aotinductor as aotinductor
from linbench.engines import compile as compile
from linbench.engines import eager as eager
from linbench.engines import onnxruntime as onnxruntime
from linbench.engines import openvino as openvino
from linbench.engines import tensorrt as tensorrt
from linbench.engines.contract import engine as engine
