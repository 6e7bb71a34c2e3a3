"""Set the tables and figures of the paper beside measured numbers; no torch."""
