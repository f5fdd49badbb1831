"""Everything of prb that runs on the device. Imports only Taichi, never `prb`."""
