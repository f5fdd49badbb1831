"""From a SceneModel to the flat arrays that `kernels.view.SceneView` describes. NumPy only.

Where each array is made: primitives and their hierarchy in `geometry`; `materials`, `bsdfs`, `bsdf_data` in
`leaves`; `textures`, `to_uv` in `textures`; `emitters`, `emitter_data` in `emitters`; `lights` and the tables
for sampling in `lights`; `media`, `phases` in `media`, and what belongs to them in `volumes` and `majorants`;
`shapes` here. `params` are the values of the parameters, see `parameters`.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from prb.device.camera import Camera, add_camera
from prb.device.dependents import Dependent
from prb.device.emitters import EmitterRows, EmitterTable, add_placement
from prb.device.geometry import Geometry
from prb.device.lights import LightEntries
from prb.device.material_tables import MaterialTables
from prb.device.media import MediaTables
from prb.device.moving import Moving, add_moving
from prb.device.parameters import (
    ANGLE,
    NORMALS,
    ParameterBuilder,
    ParameterRecord,
    ParameterValues,
)
from prb.device.textures import TextureTable
from prb.device.volumes import VolumeTable
from prb.kernels.view import Features
from prb.scene.leaves import bends_by_normals

MOVES_BY_REPLAY = "it moves shapes or the camera; take ReplayAdjoint()"


@dataclass(eq=False)
class Layout:
    """arrays: name -> NumPy array, as SceneView names them, without `params`.

    parameters: every parameter by name, in the order of the scene. start: their values in the model.
    dependents: all that is computed from parameters. cameras: the sensors among them, in their order; moving:
    the shapes among them.
    environment: entry of `lights` of the environment, or -1. weights: names of the textures and volumes that
    are weights of blends and masks or values of tabulated phase functions, whose derivatives need samples of
    what has no weight. sensor_media: number of the medium that each sensor is in, -1 for vacuum.
    extinctions: names of the parameters that the extinction of media is made of. attached_limit: what of
    the scene attached replay does not take, as the end of a sentence, or "".
    """

    arrays: dict[str, np.ndarray]
    parameters: dict[str, ParameterRecord]
    start: ParameterValues
    dependents: list[Dependent]
    cameras: list[Camera]
    moving: Moving
    features: Features
    environment: int
    weights: frozenset[str]
    sensor_media: tuple[int, ...]
    extinctions: frozenset[str]
    attached_limit: str

    @property
    def params(self):
        """What kernels read of `start`: float32, as many numbers as a gradient has."""
        return self.start.numbers

    @cached_property
    def differentiable(self):
        """The parameters that a gradient can be had for, by detached or attached sampling: name -> record."""
        return {name: record for name, record in self.parameters.items() if record.differentiable}

    @cached_property
    def orientations(self):
        """Names of the vertex normals and the directions of lights."""
        return frozenset(name for name, record in self.parameters.items() if record.orientation)

    @cached_property
    def placements(self):
        """Names of the parameters that say where lights are."""
        return frozenset(name for name, record in self.parameters.items() if record.placement)

    def not_detached(self, name):
        """Why detached sampling does not differentiate a parameter, as the end of a sentence, or ""."""
        record = self.parameters[name]
        if record.moves and self.attached_limit:
            return record.why_not or f"it moves shapes or the camera, and that {self.attached_limit}"
        what = "moves directions of rays, which are"
        if record.placement:
            what = (
                "shapes a light's cone, which is"
                if record.kind == ANGLE
                else "moves directions to a light, which are"
            )
        bends_rays = f"it {what} held fixed; take AttachedReplay()"
        return record.why_not or (bends_rays if record.bends_rays else "")

    def not_attached(self, name):
        """Why attached sampling does not differentiate a parameter, as the end of a sentence, or ""."""
        record = self.parameters[name]
        if record.moves and not record.why_not:
            return MOVES_BY_REPLAY
        return record.why_not or (f"it {self.attached_limit}" if self.attached_limit else "")

    def update(self, values, *, tables=True):
        """Update the arrays that depend on parameters. Returns the names of those that have changed.

        tables: whether those that only decide where samples go are updated, too.
        """
        changed = set()
        for dependent in self.dependents:
            if (tables or not dependent.tables) and dependent.update(values, self.arrays):
                changed.update(dependent.arrays)
        if self.moving.stack > self.features.stack:
            self.features = replace(self.features, stack=self.moving.stack)
        return changed


def lay_out(model, *, progress=False):
    """The layout of a SceneModel."""
    builder = ParameterBuilder()
    volumes = VolumeTable(builder)
    textures = TextureTable(builder, volumes)
    materials = MaterialTables(textures.number)
    emitters = EmitterTable(textures.number)
    media = MediaTables(volumes, volumetric=model.integrator.volumetric)
    shapes = [
        [materials.number(s.bsdf, s), emitters.number(s.emitter), -1, media.code(s)] for s in model.shapes
    ]
    sensor_media = tuple(media.number(sensor.medium) for sensor in model.sensors)
    for light in model.emitters:
        emitters.number(light)
    normals_of = _add_normals(model, builder)
    limit = _attached_limit(with_media=media.present, with_volumes="volume" in textures.kinds)
    why_not = f"it moves shapes or the camera, and that {limit}" if limit else ""
    moves = add_moving(model, builder, normals_of, why_not)
    placed = [(light, add_placement(light, builder, with_media=media.present)) for light in model.emitters]
    sensors = [add_camera(sensor, builder, why_not) for sensor in model.sensors]
    records, start = builder.place()
    if limit:
        why_not = f"it moves directions of rays, and attached replay {limit}"
        records = [replace(r, why_not=r.why_not or why_not) if r.bends_rays else r for r in records]

    geometry = Geometry(model.shapes, progress=progress)
    entries = LightEntries(model, emitters, geometry)
    features = Features(
        bsdfs=tuple(sorted(materials.kinds)),
        emitters=tuple(sorted(emitters.kinds)),
        textures=tuple(sorted(textures.kinds)),
        varying=tuple(sorted(materials.varying | emitters.varying)),
        factors=emitters.factors,
        leaves=materials.leaves,
        weights=materials.weights if materials.leaves > 1 else 0,
        frames=tuple(sorted(materials.frames)),
        tangents=materials.tangents,
        twosided=materials.twosided,
        hide_emitters=model.integrator.hide_emitters,
        **geometry.features(),
        grids=volumes.grids,
        **media.features(model.shapes),
    )

    for number, shape in enumerate(model.shapes):
        if id(shape) in normals_of:
            shapes[number][2] = records[normals_of[id(shape)]].offset
    numbered = "mesh_attribute" in features.textures or any(row[2] >= 0 for row in shapes)
    options = dict(textured=features.textured, numbered=numbered)
    moving = Moving(model, moves, records, geometry, entries, options)
    dependents = [moving]
    for light, numbers in placed:
        if numbers:
            own = {key: records[number] for key, number in numbers.items()}
            dependents.append(EmitterRows(light, own, emitters.data_row(light)))
    dependents += media.dependents(records)
    dependents += entries.dependents(lambda texture: records[textures.parameter_of[id(texture)]])
    cameras = [
        Camera(sensor, {key: records[number] for key, number in parameters.items()})
        for sensor, parameters in zip(model.sensors, sensors, strict=True)
    ]

    arrays = {
        **geometry.arrays(**options),
        "prim_light": geometry.by_slot(entries.prim_light, -1),
        "shapes": np.array(shapes, np.int32).reshape(-1, 4),
        "moves": moving.rows(),
        **materials.arrays(),
        **textures.arrays(records),
        **emitters.arrays(),
        **entries.arrays(),
        **volumes.arrays(records),
        **media.arrays(records),
    }
    layout = Layout(
        arrays=arrays,
        parameters={record.name: record for record in records},
        start=start,
        dependents=[*dependents, *cameras],
        cameras=cameras,
        moving=moving,
        features=features,
        environment=entries.environment,
        weights=frozenset(materials.weight_names | media.weight_names),
        sensor_media=sensor_media,
        extinctions=frozenset(media.extinction_names),
        attached_limit=limit,
    )
    layout.update(start)
    return layout


def _attached_limit(*, with_media, with_volumes):
    """As of `Layout`."""
    if with_media:
        return "does not take participating media, which the scene has"
    return "does not take textures that are volumes, which the scene has" if with_volumes else ""


def _add_normals(model, builder):
    """Add vertex normals: id of a shape -> number of its parameter. Copies of a mesh that have one name have
    the normals in common with the first one's record."""
    found, names = {}, builder.names()
    for shape in model.shapes:
        name = f"{shape.name}.vertex_normals"
        if shape.normals is not None and name not in names:
            bends_rays = bends_by_normals(shape.bsdf)
            found[id(shape)] = builder.add(name, NORMALS, shape.normals, bends_rays=bends_rays)
            names.add(name)
    return found
