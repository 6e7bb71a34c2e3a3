"""The quantities of the paper's tables, and how near to the quoted number is called reproduced.

The bands are choices, stated in each report. A parameter count is exact, so it may differ by the paper's rounding
alone; accuracies may differ by what two trainings of one recipe usually differ by, on small sets more than on large
ones; a rate by a tenth, and only on the paper's device.
"""

from linbench.reports.paper.cell import Quantity

PARAMETERS = Quantity("#Param\nM", "M", band=None, digits=2)
ALIKE = Quantity("#Param alike\nM", "M", band=None, digits=2)
FPS = Quantity("FPS", "images/s", band=0.1, share=True, of_device=True)
STRIDE = Quantity("stride", "px", band=0, digits=0)
BLOCKS = Quantity("#block", "", band=0, digits=0)
CHANNELS = Quantity("#chn", "", band=0, digits=0)
WIDTH = Quantity("emb dim", "", band=0, digits=0)
IMAGES = Quantity("#Images", "", band=0.005, share=True, digits=0)
MASKS = Quantity("#Masks", "", band=0.005, share=True, digits=0)

#: Metrics of accuracy records, by the name that tables and ``choose`` give them.
METRICS = {
    "coco_map": Quantity("COCO\nmAP", "points", band=0.3, digits=1),
    "coco_mbap": Quantity("COCO\nmBAP", "points", band=0.3, digits=1),
    **{
        f"{suite}_{metric}": Quantity(f"{suite.upper()}\n{word}", "points", band=1.0, digits=1)
        for suite in ("dis", "coift", "hrsod")
        for metric, word in (("miou", "mIoU"), ("mbiou", "mBIoU"))
    },
    "imagenet_top1": Quantity("top-1\n%", "points", band=0.3, digits=1),
    "ade20k_miou": Quantity("ADE20K\nmIoU", "points", band=0.5, digits=1),
}
