"""Arrays that depend on parameters: each knows its records, and when it has to be computed again.

A layout holds all of them in one list, which `Layout.update` goes through. The tables for sampling are in
`prb.device.lights`, the cameras in `prb.device.camera`, shapes and their normals in `prb.device.moving`.
"""

import numpy as np


class Dependent:
    """Arrays that are computed from some parameters. A subclass says which, and how.

    parameters: the records that it depends on. arrays: names of the arrays that it changes. tables: True if
    they only decide where samples go, so that a picture's expected value does not depend on them.
    """

    arrays: tuple[str, ...] = ()
    tables = False

    def __init__(self, parameters):
        self.parameters = tuple(parameters)
        self._last_inputs = None

    def update(self, values, arrays):
        """Compute the arrays again if the inputs have changed; True if so.

        values: the scene's `ParameterValues`. arrays: the layout's, by name.
        """
        inputs = self.inputs(values)
        if self._last_inputs is not None and not self.has_changed(inputs, self._last_inputs):
            return False
        self._last_inputs = None  # until all is computed, as an interrupt may come in between
        copies = [np.array(x) for x in inputs]
        self.compute(copies, arrays)
        self._last_inputs = copies
        return True

    def inputs(self, values):
        """The arrays that it is computed from."""
        return [values[record] for record in self.parameters]

    def has_changed(self, new, old):
        """True if the arrays have to be computed again for the new inputs."""
        return not all(map(np.array_equal, new, old))

    def compute(self, inputs, arrays):
        """Change the arrays in place, or replace them by others of the same shapes."""
        raise NotImplementedError
