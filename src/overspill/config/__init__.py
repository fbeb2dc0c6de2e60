"""What the user wants: one schema, read with line numbers, checked, and compiled for the core and the gateway.

It stands below the pools and beside the catalogue, so it imports neither: facts about providers come in as arguments.
"""
