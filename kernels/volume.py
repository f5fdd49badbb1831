"""Volumes: numbers that vary in space, constants and regular grids, looked up at points in world space."""

CONSTANT, GRID = 0, 1

# Columns of `volumes`. OFFSET: of the volume's first number in the parameter buffer.
KIND, OFFSET, CHANNELS, NX, NY, NZ, NEAREST, WRAP = 0, 1, 2, 3, 4, 5, 6, 7
ROW = 8
REPEAT, MIRROR, CLAMP = 0, 1, 2
