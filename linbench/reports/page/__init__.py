"""One HTML page of all records: a table, curves, the Pareto front and each cell's samples, in a file of its own.

| module | holds |
|---|---|
| ``columns`` | columns of numbers and texts, small enough to travel inside a page |
| ``scenes`` | what may be looked at together: one device, one part, one set of conditions; presets side by side |
| ``cells`` | latency cells, with some of their samples |
| ``scores`` | accuracies, by what they may be compared in |
| ``document`` | the page: template, style and script beside these files, and what a browser may do with them |
"""
