"""A rehearsal: a real gateway with a real local engine and a rehearsed cloud, under a trace, measured from outside."""
