"""Dress rehearsal: a fake engine behind real HTTP, and a player that sends real traces to a real gateway."""
