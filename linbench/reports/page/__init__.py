"""One HTML page of all records: a table, curves, the Pareto front and each cell's samples, in a file of its own.

| module | contains |
|---|---|
| ``columns`` | columns of numbers and texts, small enough to travel inside a page |
| ``latency`` | latency cells with some of their samples, and the scenes in which they are looked at together |
| ``throughput`` | throughputs, by the comparison in which they stand together |
| ``profile`` | stored profiles: the icicle and the table of modules |
| ``accuracy`` | accuracies, by what they may be compared in |
| ``document`` | the page: template, style, script and figures, and what a browser may do with them |
"""
