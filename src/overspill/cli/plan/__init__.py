"""``overspill plan``: one file per command."""
