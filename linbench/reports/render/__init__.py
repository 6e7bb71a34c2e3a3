"""How reports look: tables, LaTeX, colours, tags, overlays, files."""
