"""The parts of ``overspill eval``: the test set, the judge, the asking and the tables."""
