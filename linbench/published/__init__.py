"""Numbers from papers and repositories as data, each with its source; never mixed with measured ones."""
