"""Logs of other programs, of providers and of our own, read as workloads: one file per format, ``reading`` picks it."""
