"""Moves the bytes: one endpoint in front, the targets behind, the controller in between."""
