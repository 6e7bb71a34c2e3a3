"""A plug-in that fails at import."""

raise OSError("this plug-in misses its library")
