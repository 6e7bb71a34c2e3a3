"""Reports: pure functions from records to tables and figures. No torch here."""
