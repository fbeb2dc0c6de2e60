"""Bytes to values and back: what comes from clients and targets, and what goes to them. No I/O."""
