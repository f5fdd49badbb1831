"""Integrators of Mitsuba load as prb's path tracer, and what differs is said."""

import pytest

import prb
from prb.scene import load_model_dict

pytestmark = pytest.mark.quick


def load(**integrator):
    return load_model_dict({"type": "scene", "integrator": integrator, "sensor": {"type": "perspective"},
                            "light": {"type": "constant"}})  # fmt: skip


PATH, DIRECT = {"type": "path"}, {"type": "direct"}
# Each row: the integrator, its kind and depth, and what the warnings hold.
INTEGRATORS = {
    "path": (PATH, ("path", -1), ""),
    "prb": ({"type": "prb"}, ("prb", 6), ""),
    "direct": (DIRECT, ("path", 2), ""),
    "one sample": ({**DIRECT, "shading_samples": 1}, ("path", 2), ""),
    "samples": ({**DIRECT, "emitter_samples": 4}, ("path", 2), "emitter_samples: 4 has no effect"),
    "no samples": ({**DIRECT, "bsdf_samples": 0}, ("path", 2), "bsdf_samples: 0 has no effect"),
    "prb_basic": ({"type": "prb_basic"}, ("prb", 6), "rendered as prb"),
    "prb_projective": ({"type": "prb_projective", "sppi": 0}, ("prb", 6), "no moving edges"),
    "direct_projective": ({"type": "direct_projective"}, ("path", 2), "rendered as direct"),
    "volpath": ({"type": "volpath", "max_depth": 9}, ("path", 9), ""),
    "volpathmis": ({"type": "volpathmis", "use_spectral_mis": True}, ("path", -1), ""),
    "prbvolpath": ({"type": "prbvolpath"}, ("prb", 6), ""),
    "moment": ({"type": "moment", "a": {**PATH, "max_depth": 3}}, ("path", 3), "moments are not written"),
    "aov": ({"type": "aov", "aovs": "dd:depth", "a": DIRECT}, ("path", 2), "no further channels are"),
    "both": ({"type": "aov", "a": {"type": "moment", "b": PATH}}, ("path", -1), "moments"),
    "timeout": ({**PATH, "timeout": 3.0}, ("path", -1), "timeout: has no effect"),
}


@pytest.mark.parametrize("case", INTEGRATORS)
def test_integrators(case):
    integrator, expected, warning = INTEGRATORS[case]
    model = load(**integrator)
    assert (model.integrator.kind, model.integrator.max_depth) == expected
    assert warning in " ".join(model.warnings) and bool(warning) == bool(model.warnings)
    assert model.integrator.volumetric == ("vol" in integrator["type"])


def test_hide_emitters_is_that_of_the_integrator_inside():
    model = load(type="moment", a={**DIRECT, "hide_emitters": True})
    assert model.integrator.hide_emitters and model.integrator.max_depth == 2


REFUSED = {
    "empty wrapper": ({"type": "moment"}, "there is no integrator inside"),
    "two inside": ({"type": "moment", "a": PATH, "b": PATH}, "integrator.b: prb renders one picture"),
    "no integrator inside": ({"type": "aov", "a": {"type": "sphere"}}, "does not belong inside aov"),
    "depth of direct": ({**DIRECT, "max_depth": 2}, "integrator.max_depth: unknown key"),
    "samples twice": ({**DIRECT, "shading_samples": 2, "bsdf_samples": 2}, "stands for both"),
    "no samples": ({**DIRECT, "shading_samples": 0}, "take at least 1"),
    "none of both": ({**DIRECT, "emitter_samples": 0, "bsdf_samples": 0}, "take at least 1"),
    "ptracer": ({"type": "ptracer"}, "exists in Mitsuba but not"),
    "depth": ({"type": "depth"}, "exists in Mitsuba but not"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_integrators_refused(case):
    integrator, message = REFUSED[case]
    with pytest.raises(prb.SceneError, match=message):
        load(**integrator)
