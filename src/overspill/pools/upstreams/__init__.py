"""Adapters for somebody else's API: each translates one provider's dialect, none of them does any I/O."""
