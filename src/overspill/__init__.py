"""Overspill: a local-first hybrid LLM serving control plane.

The folders are named after the path of a request: ``wire`` turns bytes into values, ``core`` decides, ``pools`` knows
the targets, ``gateway`` moves the bytes, ``ledger`` remembers, ``planner`` reads what the ledger remembered.
Importing this package loads none of them.
"""

__version__ = "0.1.0"
