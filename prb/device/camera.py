"""What the host computes for the camera: the affine form of its rays, and its parameters."""

from dataclasses import replace

import numpy as np

from prb.device.dependents import Dependent
from prb.device.parameters import CAMERA_NUMBER, CAMERA_TRANSFORM
from prb.errors import ParameterError
from prb.kernels.camera import CAMERA_SIZE, DIRECTION, FAR, LENS, NEAR, START
from prb.scene.plugins.sensors import is_rigid, resized

CLIPS = "it only decides how near and far the camera sees"
STEP = 1e-4  # of the differences by which the camera's numbers are differentiated, relative
MIN_DISTANCE = np.finfo(np.float32).tiny


def camera_buffer(sensor):
    """The camera's numbers as kernels/camera.py lays them out: float32 (CAMERA_SIZE,)."""
    return camera_numbers(sensor).astype(np.float32)


def camera_numbers(sensor):
    """The same in float64."""
    film = sensor.film
    m = np.asarray(sensor.to_world, float)
    orthographic = sensor.kind == "orthographic"
    half = 1.0 if orthographic else np.tan(np.radians(0.5 * sensor.x_fov))  # of the width, at distance 1
    pixel = 2 * half / film.width
    # Local +x points to the left of the picture and +y up; film positions go right and down.
    corner = np.array([half, half * film.height / film.width, 0.0])
    corner[0] -= pixel * film.width * sensor.principal_point_offset_x
    corner[1] -= pixel * film.height * sensor.principal_point_offset_y
    right, down, forward = np.diag([-pixel, -pixel, 1.0])
    start, direction = np.zeros((5, 3)), np.zeros((5, 3))  # for 1, x, y and the two axes of the aperture
    near, far = sensor.near_clip, sensor.far_clip
    start[0] = m[:3, 3]
    if orthographic:  # the size of its picture is the transform's scale
        scale = np.linalg.norm(m[:3, 2])
        start[:3] += np.array([corner, right, down]) @ m[:3, :3].T
        direction[0] = m[:3, 2] / scale
        near, far = near * scale, near * scale + far - near  # Mitsuba scales only the near clip distance
    else:
        axes = m[:3, :3] / np.linalg.norm(m[:3, :3], axis=0)
        direction[:3] = np.array([corner + forward, right, down]) @ axes.T
        if sensor.kind == "thinlens":  # all rays of a film position meet at distance focus_distance
            start[3:] = sensor.aperture_radius * axes[:, :2].T
            direction[3:] = -start[3:] / sensor.focus_distance
    out = np.zeros(CAMERA_SIZE)
    out[START:DIRECTION], out[DIRECTION:NEAR] = start.ravel(), direction.ravel()
    out[NEAR], out[FAR], out[LENS] = near, far, sensor.kind == "thinlens"
    return out


class Camera(Dependent):
    """A sensor as it is now: that of the model, with the numbers that the parameters have, and with the film
    that it was given since. Its arrays on the device are the sensor's own, made by `camera_buffer`."""

    arrays = ("camera",)

    def __init__(self, sensor, parameters):
        """sensor: the model's, which stays as it is. parameters: attribute of the sensor -> record."""
        super().__init__(parameters.values())
        self._parameters = parameters
        self.sensor = replace(sensor, film=replace(sensor.film))

    def compute(self, inputs, arrays):
        numbers = {
            key: array if array.shape else float(array)
            for key, array in zip(self._parameters, inputs, strict=True)
        }
        if numbers.get("x_fov", self.sensor.x_fov) != self.sensor.x_fov:
            numbers["fov"] = numbers["x_fov"], "x"  # from now on, for a film of another size
        self.sensor = replace(self.sensor, **numbers)

    @property
    def differentiated(self):
        """How many numbers of its parameters are differentiated."""
        return sum(record.size for record in self.parameters if record.differentiable)

    def derivatives(self):
        """The derivative of `camera_buffer` by each number of the parameters that are differentiated: float32
        (numbers, 1 + CAMERA_SIZE), after the number's offset in the buffer of all.

        They are central differences in float64, of a closed form that is smooth.
        """
        rows = []
        for key, record in self._parameters.items():
            if not record.differentiable:
                continue
            value = np.array(getattr(self.sensor, key), float)
            for i in range(record.size):
                step = np.zeros(value.size)
                step[i] = STEP * max(abs(value.ravel()[i]), 1e-3)
                ends = [value + sign * step.reshape(value.shape) for sign in (1, -1)]
                ends = [end if end.shape else float(end) for end in ends]
                high, low = (camera_numbers(replace(self.sensor, **{key: end})) for end in ends)
                rows.append([record.offset + i, *(high - low) / (2 * step[i])])
        return np.array(rows, np.float32).reshape(-1, 1 + CAMERA_SIZE)

    def resize(self, width, height, values):
        """Give the film another size; the field of view stays along its axis, so `x_fov` may change."""
        self.sensor = resized(self.sensor, width, height)
        if "x_fov" in self._parameters:
            values[self._parameters["x_fov"]] = self.sensor.x_fov
            self.update(values, {})


def add_camera(sensor, builder, why_not=""):
    """Add a sensor's parameters: attribute -> number of the parameter. why_not: as of their records."""
    name = sensor.name
    if sensor.kind == "orthographic":
        check, ranges = _check_affine, {}
    else:
        check, ranges = _check_rigid, {"x_fov": (1e-3, 179.999)}
    ranges |= {"near_clip": (MIN_DISTANCE, np.inf), "far_clip": (MIN_DISTANCE, np.inf)}
    if sensor.kind == "perspective":
        ranges |= {f"principal_point_offset_{axis}": (-100.0, 100.0) for axis in "xy"}
    if sensor.kind == "thinlens":
        ranges |= {"aperture_radius": (0.0, np.inf), "focus_distance": (MIN_DISTANCE, np.inf)}
    to_world = np.asarray(sensor.to_world, float)
    fields = dict(why_not=why_not, check=check)
    found = {"to_world": builder.add(f"{name}.to_world", CAMERA_TRANSFORM, to_world, **fields)}
    for key, (low, high) in ranges.items():
        below = f"{name}.far_clip" if key == "near_clip" else ""
        reason = CLIPS if key in ("near_clip", "far_clip") else why_not
        fields = dict(low=low, high=high, why_not=reason, below=below)
        found[key] = builder.add(f"{name}.{key}", CAMERA_NUMBER, float(getattr(sensor, key)), **fields)
    return found


def _check_affine(name, matrix):
    """Raise ParameterError for a matrix that cannot place an orthographic camera; it may scale, which is the
    size of the picture."""
    scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    if not _is_affine(matrix) or scales[2] <= 1e-9 * scales[0]:
        raise ParameterError(f"{name}: the transform must be affine and invertible")


def _check_rigid(name, matrix):
    """Raise ParameterError for a matrix that cannot place another camera."""
    if not _is_affine(matrix) or not is_rigid(matrix):
        raise ParameterError(f"{name}: a camera's transform may only rotate and translate")


def _is_affine(matrix):
    return np.allclose(matrix[3], [0, 0, 0, 1])
