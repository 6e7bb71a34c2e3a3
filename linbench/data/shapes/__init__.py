"""The embedded data set: procedural scenes with exact masks at any size, written in the layouts of the real sets.

from linbench.data.shapes import rendered, scene
found = rendered(scene(seed=0, index=7, task="objects"), 512)
found.picture, found.ids, found.semantic, found.objects, found.label
"""

from linbench.data.shapes.coco_layouts import detections_file
from linbench.data.shapes.render import Object, Rendered, rendered
from linbench.data.shapes.scene import CLASSES, TASKS, THINGS, VERSION, Scene, scene
from linbench.data.shapes.writing import LAYOUTS, layout_of, prepared, write

__all__ = [
    "CLASSES",
    "LAYOUTS",
    "TASKS",
    "THINGS",
    "VERSION",
    "Object",
    "Rendered",
    "Scene",
    "detections_file",
    "layout_of",
    "prepared",
    "rendered",
    "scene",
    "write",
]
