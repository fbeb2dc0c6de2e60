"""How fast an engine is and how it shares its time: arithmetic only, no I/O and no clock."""
