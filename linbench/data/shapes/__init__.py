"""The embedded dataset: procedural scenes with exact masks at any size, written in the layouts of real datasets.

from linbench.data.shapes import make_scene, render_scene
rendered = render_scene(make_scene(seed=0, index=7, task="objects"), 512)
rendered.image, rendered.ids, rendered.semantic, rendered.objects, rendered.label
"""

from linbench.data.shapes.coco_layouts import detections_file
from linbench.data.shapes.render import RenderedScene, VisibleObject, render_scene
from linbench.data.shapes.scene import CLASSES, TASKS, THINGS, VERSION, Scene, make_scene
from linbench.data.shapes.writing import LAYOUTS, layout_of, prepare_dataset, write_dataset

__all__ = [
    "CLASSES",
    "LAYOUTS",
    "TASKS",
    "THINGS",
    "VERSION",
    "RenderedScene",
    "Scene",
    "VisibleObject",
    "detections_file",
    "layout_of",
    "make_scene",
    "prepare_dataset",
    "render_scene",
    "write_dataset",
]
