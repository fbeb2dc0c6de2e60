"""The parts of ``overspill providers``: what to print, what to ask, what changes."""
