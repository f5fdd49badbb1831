"""The estimators: the path loop and its modes, and the tape beside it."""
