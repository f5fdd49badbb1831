"""Integrators. prb's path tracer renders for all of them; a warning says where that makes a difference.

`path` and `prb` are this path tracer, and `direct` is it with paths of two edges. Mitsuba's projective
integrators differ from it only in derivatives of moving edges. `volpath`, `volpathmis` and `prbvolpath` are
this path tracer where it sees participating media. `moment` and `aov` are wrappers that write further
channels: the integrator inside renders the picture.
"""

from dataclasses import replace

from prb.scene.model import Integrator
from prb.scene.reading.reader import Reader

_LARGEST = 2**31 - 1
_UNLIMITED, _PRB_DEPTH = -1, 6  # Mitsuba's defaults
_DIRECT_DEPTH = 2
_PROJECTIVE_KEYS = ("sppc", "sppp", "sppi", "guiding", "guiding_proj", "guiding_rounds", "project_seed")


def _made(reader: Reader, kind: str, max_depth: int, rr_depth: int = 5) -> Integrator:
    """What all integrators have, and the record."""
    hide_emitters = reader.boolean("hide_emitters", False)
    for key in ("samples_per_pass", "block_size"):
        if key in reader:
            reader.warn("has no effect; prb chooses how it divides the work", key)
    if reader.number("timeout", -1.0) > 0:
        reader.warn("has no effect; prb renders all samples", "timeout")
    return Integrator(kind, max_depth, rr_depth, hide_emitters)


def _paths(reader: Reader, default_depth: int, kind: str = "path") -> Integrator:
    max_depth = reader.integer("max_depth", default_depth, low=-1, high=_LARGEST)
    return _made(reader, kind, max_depth, reader.integer("rr_depth", 5, low=1, high=_LARGEST))


def _path(reader: Reader) -> Integrator:
    return _paths(reader, _UNLIMITED)


def _prb(reader: Reader) -> Integrator:
    return _paths(reader, _PRB_DEPTH, "prb")


def _prb_basic(reader: Reader) -> Integrator:
    reader.warn("prb_basic is rendered as prb: lights are sampled too, and the noise is less")
    return _paths(reader, _PRB_DEPTH, "prb")


def _direct(reader: Reader) -> Integrator:
    _warn_of_samples(reader)
    return _made(reader, "path", _DIRECT_DEPTH)


def _warn_of_samples(reader: Reader) -> None:
    """Mitsuba's `direct` may take several samples of each kind in a path, prb's path one of each."""
    counts = {
        key: reader.integer(key, 1, low=0, high=_LARGEST)
        for key in ("shading_samples", "emitter_samples", "bsdf_samples")
    }
    kinds = ("emitter_samples", "bsdf_samples")
    if "shading_samples" in reader.data and any(key in reader.data for key in kinds):
        reader.fail("shading_samples stands for both emitter_samples and bsdf_samples; keep it or those two")
    if counts["shading_samples"] == 0 or all(counts[key] == 0 for key in kinds):
        reader.fail("there are no samples of lights and none of surfaces; take at least 1")
    for key, count in counts.items():
        if count == 0:
            reader.warn("0 has no effect; prb samples both lights and surfaces, once in a path", key)
        elif count != 1:
            reader.warn(f"{count} has no effect; prb takes one in a path; take more samples per pixel", key)


def _direct_projective(reader: Reader) -> Integrator:
    _warn_of_edges(reader, "direct")
    return _made(reader, "path", _DIRECT_DEPTH)


def _prb_projective(reader: Reader) -> Integrator:
    _warn_of_edges(reader, "prb")
    return _paths(reader, _PRB_DEPTH, "prb")


def _warn_of_edges(reader: Reader, instead: str) -> None:
    reader.without_effect(*_PROJECTIVE_KEYS)
    reader.warn(
        f"{reader.type} is rendered as {instead}: the picture is the same, but derivatives hold no"
        " moving edges (visibility)"
    )


def _volpath(reader: Reader) -> Integrator:
    if reader.type == "volpathmis":
        reader.boolean("use_spectral_mis", True)  # prb chooses by the media
    return replace(_paths(reader, _UNLIMITED), volumetric=True)


def _prbvolpath(reader: Reader) -> Integrator:
    return replace(_paths(reader, _PRB_DEPTH, "prb"), volumetric=True)


def _moment(reader: Reader) -> Integrator:
    return _inner(reader, "moments are not written")


def _aov(reader: Reader) -> Integrator:
    names = reader.string("aovs", "")
    return _inner(reader, f"no further channels are written{f' ({names})' if names else ''}")


def _inner(reader: Reader, what: str) -> Integrator:
    """The one integrator inside a wrapper."""
    made = []
    for child in reader.children("integrator"):
        if child.category != "integrator":
            child.misplaced(reader)
        if made:
            child.fail(f"prb renders one picture, and this {reader.type} holds several integrators; keep one")
        made.append(child.make())
    if not made:
        reader.fail(f"there is no integrator inside this {reader.type} to render a picture; put one in it")
    reader.warn(f"the picture is that of the integrator inside; {what}")
    return made[0]


INTEGRATORS = {
    "path": _path,
    "prb": _prb,
    "prb_basic": _prb_basic,
    "direct": _direct,
    "direct_projective": _direct_projective,
    "prb_projective": _prb_projective,
    "volpath": _volpath,
    "volpathmis": _volpath,
    "prbvolpath": _prbvolpath,
    "moment": _moment,
    "aov": _aov,
}
