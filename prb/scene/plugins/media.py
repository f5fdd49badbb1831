"""Participating media: `homogeneous` and `heterogeneous`, and where they are named: shapes and sensors.

`emission` is prb's own: what the medium itself emits, as radiance for each unit of length, whatever its
density and its `scale`. Accepted without effect: `has_spectral_extinction`; prb looks at `sigma_t` itself.
"""

from collections.abc import Mapping

from prb.scene.model import Medium, Phase
from prb.scene.plugins.volumes import number_volume, volume_of
from prb.scene.reading.reader import Reader
from prb.scene.reading.values import describe

SIDES = ("interior", "exterior")


def _medium(reader: Reader) -> Medium:
    reader.boolean("has_spectral_extinction", True)
    volumes = {
        "sigma_t": volume_of(reader, "sigma_t", 1.0),
        "albedo": volume_of(reader, "albedo", 0.75, high=1.0),
        "scale": number_volume(reader, "scale", 1.0, low=0.0),
    }
    if reader.type == "homogeneous" and volumes["sigma_t"].kind != "constant":
        reader.fail("the density of a homogeneous medium is one colour; use heterogeneous", "sigma_t")
    if "emission" in reader:
        volumes["emission"] = volume_of(reader, "emission", None, emission=True)
    sample_emitters = reader.boolean("sample_emitters", True)
    phase = None
    for child in reader.children("phase"):
        if child.category != "phase":
            child.misplaced(reader)
        if phase is not None:
            child.fail(
                "a medium holds one phase function; remove one of the two, or put both into a blendphase"
            )
        phase = child.make()
    phase = phase or Phase(f"{reader.name}.phase_function", "isotropic")
    if reader.type == "homogeneous" and phase.kind == "sggx" and phase.volumes["S"].value.size > 6:
        reader.fail("its extinction follows the S of its sggx, which varies; use heterogeneous, or one voxel")
    return Medium(reader.name, reader.type, volumes, phase, sample_emitters)


def sides_of(reader: Reader) -> dict[str, Medium]:
    """The media under `interior` and `exterior` of a shape."""
    return {side: _medium_under(reader, side) for side in SIDES if side in reader}


def _medium_under(reader: Reader, key: str) -> Medium:
    if not isinstance(reader.data[key], Mapping):
        reader.fail(f"expected a medium, or a ref to one, got {describe(reader.data[key])}", key)
    child = reader.child(key)
    if child.category != "medium":
        child.fail(f"expected a medium, got {child.type} ({child.category})")
    return child.make()


MEDIA: Mapping = {"homogeneous": _medium, "heterogeneous": _medium}
