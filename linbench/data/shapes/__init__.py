"""The embedded data set: procedural scenes with exact masks at any size, written in the layouts of the real sets.

from linbench.data.shapes import rendered, scene
found = rendered(scene(seed=0, index=7, task="objects"), 512)
found.picture, found.ids, found.semantic, found.objects, found.label
"""

from linbench.data.shapes.render import Object, Rendered, rendered
from linbench.data.shapes.scene import CLASSES, TASKS, THINGS, VERSION, Scene, scene

__all__ = ["CLASSES", "TASKS", "THINGS", "VERSION", "Object", "Rendered", "Scene", "rendered", "scene"]
