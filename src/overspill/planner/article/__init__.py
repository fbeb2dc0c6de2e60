"""Checks the arithmetic of an article on owning against renting: its statements are data, all else is computed."""
