"""Gradients against finite differences, and what may be said of them."""
