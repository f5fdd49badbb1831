"""Gradients against finite differences, and verdicts on them."""
