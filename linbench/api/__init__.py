"""linbench from Python: the verbs of the command line as functions, each loaded as ``linbench.<name>``."""
