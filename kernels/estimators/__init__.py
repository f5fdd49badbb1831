"""Estimators of radiance and its derivatives: the path loop with its modes, and the tape."""
