"""The paper's tables and figures, number by number: quoted, measured, deviation, verdict; one file for each."""
