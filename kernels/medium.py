"""Participating media: what they are made of, and the columns of `media`."""

# Columns of `media`, one row for each medium. SIGMA_T, ALBEDO, SCALE, EMISSION: numbers of volumes (EMISSION
# -1 where it does not emit). PHASE, PHASES: first row of its leaves in `phases`, and their number.
# CELLS: first cell in `majorants`; CELLS_X, CELLS_Y, CELLS_Z: how many there are along each axis of the unit
# cube of sigma_t (1 each, if it is homogeneous).
HETEROGENEOUS, SIGMA_T, ALBEDO, SCALE, EMISSION, PHASE, PHASES, SAMPLE_EMITTERS = 0, 1, 2, 3, 4, 5, 6, 7
CELLS, CELLS_X, CELLS_Y, CELLS_Z = 8, 9, 10, 11
MEDIUM_COLUMNS = 12

# The code of a shape's media: BOUNDARY + (interior + 1) + (exterior + 1) * SIDES, -1 for vacuum; 0 if it
# bounds no medium.
SIDES = 2**12  # media at most
BOUNDARY = 2**24
