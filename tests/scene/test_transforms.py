"""`to_world` in all its forms becomes the matrix that Mitsuba makes of it."""

import numpy as np
import pytest

from prb.scene.reading.transforms import parse_transform


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


STEPS = [
    ([{"translate": [1, 2, 3]}, {"scale": 2}], lambda T: T().scale(2).translate([1, 2, 3])),
    (
        [{"scale": [1, 2, 3]}, {"rotate": {"axis": [0, 0, 2], "angle": 30}}],
        lambda T: T().rotate([0, 0, 1], 30).scale([1, 2, 3]),
    ),
    ([{"rotate": {"axis": [2, 3, 6], "angle": -70}}], lambda T: T().rotate([2 / 7, 3 / 7, 6 / 7], -70)),
    (
        [{"look_at": {"origin": [1, 2, 3], "target": [0, -1, 0], "up": [0, 1, 0.5]}}],
        lambda T: T().look_at(origin=[1, 2, 3], target=[0, -1, 0], up=[0, 1, 0.5]),
    ),
    (
        [{"matrix": [[1, 2, 0, 0], [0, 1, 0, 5], [0, 0, 1, 0], [0, 0, 0, 1]]}, {"translate": [0, 0, 1]}],
        lambda T: T().translate([0, 0, 1]) @ T([[1, 2, 0, 0], [0, 1, 0, 5], [0, 0, 1, 0], [0, 0, 0, 1]]),
    ),
]


@pytest.mark.parametrize("steps, transform", STEPS)
def test_transform_steps_are_mitsubas(mi, steps, transform):
    theirs = transform(mi.ScalarTransform4f)
    np.testing.assert_allclose(parse_transform(steps, "t"), np.array(theirs.matrix), atol=2e-6)
    np.testing.assert_array_equal(parse_transform(theirs, "t"), np.array(theirs.matrix))


class Vectorised:
    """Like a transform of Mitsuba's LLVM variants."""

    matrix = np.arange(16.0).reshape(4, 4, 1) % 5 + np.eye(4)[:, :, None]


def test_transform_forms():
    matrix = [[0, 1, 0, 4], [2, 0, 0, 5], [0, 0, 3, 6], [0, 0, 0, 1]]
    for form in (matrix, np.array(matrix), [{"matrix": matrix}]):
        np.testing.assert_array_equal(parse_transform(form, "t"), matrix)
    Vectorised.matrix[3] = [[0], [0], [0], [1]]
    np.testing.assert_array_equal(parse_transform(Vectorised, "t"), Vectorised.matrix[:, :, 0])


def test_steps_apply_first_to_last():
    matrix = parse_transform([{"translate": [1, 0, 0]}, {"rotate": {"axis": [0, 0, 1], "angle": 90}}], "t")
    np.testing.assert_allclose(matrix @ [0, 0, 0, 1], [0, 1, 0, 1], atol=1e-15)
