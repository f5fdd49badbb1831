"""Everything of prb that runs on the device. It imports Taichi alone, through kernels/backend.py."""
