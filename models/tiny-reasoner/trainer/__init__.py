"""How the tiny reasoner is trained: packed batches, the forward pass, checkpoints and the measure of success."""
