"""What the tiny reasoner is taught: one module per ability, each drawing examples from a seeded generator."""
