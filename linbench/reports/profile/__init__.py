"""Where the time of a forward goes: tables and an icicle from the JSON of a profile."""
