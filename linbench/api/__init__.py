"""linbench from Python: the verbs of the command line as functions, each of which is loaded as ``linbench.<name>``."""
