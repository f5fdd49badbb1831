"""The command `prb`."""
