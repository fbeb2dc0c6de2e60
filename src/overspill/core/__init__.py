"""Decides: sans-IO, deterministic, the same object in the live gateway, the simulator and the replay."""
