"""Engines: inference servers that run here. Adapters translate, the supervisor starts and watches, neither decides."""
