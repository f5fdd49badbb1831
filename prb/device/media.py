"""Media, their volumes and phase functions as tables. NumPy only."""

import numpy as np

from prb.kernels.medium import MEDIUM_COLUMNS
from prb.kernels.scattering import PHASE_COLUMNS
from prb.kernels.volume import ROW


def media_arrays():
    """The arrays of kernels/arrays.py that media have."""
    return {
        "volumes": np.zeros((1, ROW), np.int32),
        "to_unit": np.zeros((1, 12), np.float32),
        "media": np.zeros((1, MEDIUM_COLUMNS), np.int32),
        "majorants": np.zeros((1, 2), np.float32),
        "phases": np.zeros((1, PHASE_COLUMNS), np.int32),
        "phase_tables": np.zeros(1, np.float32),
    }
