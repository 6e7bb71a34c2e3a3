"""COCO's formats: masks as run lengths, annotations and detections in JSON files that others wrote.

Everything here raises ValueError with a message of one line; ``linbench.data`` names the dataset and the sample.
"""
