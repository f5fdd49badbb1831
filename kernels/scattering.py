"""The scattering in a medium: its phase function, a weighted sum of models."""

# Columns of `phases`, one row for each leaf: its model; the factors of its weight (2 i for the value t of
# volume i, 2 i + 1 for 1 - t, -1 for none); the volume of its parameter (-1 for none); its first number in
# `phase_tables`.
KIND, WEIGHTS = 0, 1
MAX_WEIGHTS = 4
VOLUME, TABLE = WEIGHTS + MAX_WEIGHTS, WEIGHTS + MAX_WEIGHTS + 1
PHASE_COLUMNS = TABLE + 1
