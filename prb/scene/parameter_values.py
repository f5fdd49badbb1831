"""The values of a scene file's parameters, replaced by others: what `prb optimize` writes as a scene."""

import copy
from collections import Counter
from typing import NamedTuple

from prb.scene.load import named_nodes
from prb.scene.meshes.writing import written_mesh
from prb.scene.plugins.sensors import SENSORS
from prb.scene.plugins.shapes import SHAPES
from prb.scene.plugins.textures import TEXTURES

_OF_MESHES = ("vertex_", "face_")
_MESHES = ("ply", "obj", "serialized", "cube")
_PLACED_BY = {"sphere": ("center", "radius"), "cylinder": ("p0", "p1", "radius")}  # beside to_world


def with_values(
    data, names, params, write_bitmap, *, write_volume=None, volumes=None, write_mesh=None, shapes=()
):
    """A copy of a scene's dictionary with the values of the named parameters, and the names left out.

    params: name -> array, all parameters of the scene. write_bitmap: a function (name, texels) -> the name of
        a file; write_volume: likewise (name, voxels), for a .vol; without it grids are left out. volumes:
        those of the scene by name (`prb.scene.media.volumes_of`): where a grid lies that its file had placed.
        write_mesh: likewise (the mesh's name, `RawMesh`), for a .ply; without it positions, normals and
        attributes are left out. shapes: the scene's, as loaded.
    """
    data = copy.deepcopy(data)
    sources = {id(s.original or s): s.original or s for s in shapes}.values()
    counts = Counter(source.name for source in sources)
    own = {source.name: source for source in sources if counts[source.name] == 1}
    files = write_bitmap, write_volume, write_mesh
    place = _Places(named_nodes(data), params, *files, volumes or {}, own, set())
    meshes = [name for name in names if is_of_mesh(name)]  # first, as transforms stand in them
    left_out = {name for name in [*meshes, *(n for n in names if n not in meshes)] if not place.set(name)}
    return data, [name for name in names if name in left_out]


def is_of_mesh(name):
    """True for what the file of a mesh has."""
    return name.rpartition(".")[2].startswith(_OF_MESHES)


class _Places(NamedTuple):
    """Where values stand in a scene's dictionary. nodes: of all plugins, by the beginning of their names.
    shapes: by name, those that have a node of their own. written: names of the meshes that have a file."""

    nodes: dict
    params: dict
    write_bitmap: object
    write_volume: object
    write_mesh: object
    volumes: dict
    shapes: dict
    written: set

    def set(self, name):
        """Write one value to its place; False if there is no such place."""
        owner, _, key = name.rpartition(".")
        node, value = self.nodes.get(owner), self.params[name]
        if is_of_mesh(name):
            return self._set_mesh(owner, node)
        if "." not in name:
            return False
        if key == "value":
            return self._set_value(name, owner, node)
        if node is None:
            return False
        if key == "data" and node.get("type") == "gridvolume":
            return self._set_grid(name, node)
        if key == "data":
            for other in ("bitmap", "data"):
                node.pop(other, None)
            node["filename"] = self.write_bitmap(name, value)
        elif key == "values":  # of a tabphase: a text, as Mitsuba wants it
            node[key] = ", ".join(str(x) for x in value.tolist())
        elif key == "to_world" and node.get("type") in SHAPES:
            self._set_place(owner, node, value)
        elif key == "x_fov" and node.get("type") in SENSORS:
            node.pop("focal_length", None)
            node |= {"fov": float(value), "fov_axis": "x"}
        else:
            node[key] = value.tolist()
            if key in ("direction", "position"):
                node.pop("to_world", None)
        return True

    def _set_mesh(self, owner, node):
        """A mesh comes from a file of its own, in the space that its transform leads to."""
        shape = self.shapes.get(owner)
        if self.write_mesh is None or shape is None or node is None or node.get("type") not in _MESHES:
            return False
        if owner not in self.written:
            self.written.add(owner)
            for other in ("to_world", "shape_index", "flip_tex_coords"):
                node.pop(other, None)
            if node["type"] == "cube":
                node["face_normals"] = True
            node["type"] = "ply"
            node["filename"] = self.write_mesh(owner, written_mesh(shape, self.params))
        return True

    def _set_place(self, owner, node, value):
        """Where a shape or an instance is, which is all in the matrix."""
        if owner not in self.written:  # else its file has it
            for other in _PLACED_BY.get(node["type"], ()):
                node.pop(other, None)
            node["to_world"] = value.tolist()

    def _set_grid(self, name, node):
        """A grid comes from a file of its own, in the unit cube under to_world."""
        if self.write_volume is None:
            return False
        for other in ("grid", "data", "grid_name", "max_value"):
            node.pop(other, None)
        placed = node.pop("use_grid_bbox", None)
        was_vdb = str(node.get("filename", "")).lower().endswith(".vdb")
        if placed or (placed is None and was_vdb):
            node["to_world"] = self.volumes[name].to_world.tolist()
        node["filename"] = self.write_volume(name, self.params[name])
        return True

    def _set_value(self, name, owner, node):
        """A constant: a plugin's `value`, or the number or colour under a key of a plugin."""
        value = self.params[name]
        if node is not None and node.get("type") == "rawconstant":
            node["value"] = value.tolist()
            return True
        if node is not None and node.get("type") in TEXTURES:
            kept = {"id": node["id"]} if "id" in node else {}
            node.clear()
            node.update(**kept, **_colour(value))
            return True
        owner, _, key = owner.rpartition(".")
        if owner in self.nodes:
            self._set_colour(self.nodes[owner], owner, key)
            return True
        # the value of a volume that stands for itself: <medium>.sigma_t.value.value
        owner, _, volume = owner.rpartition(".")
        if key != "value" or owner not in self.nodes:
            return False
        self.nodes[owner][volume] = _written(value)
        return True

    def _set_colour(self, node, owner, key):
        """A colour or a number under a key of a plugin, which has a name of its own in `params`."""
        if key in ("eta", "k") and "material" in node:  # a preset stands for both
            del node["material"]
            for each in ("eta", "k"):
                node[each] = _colour(self.params[f"{owner}.{each}.value"])
        if key == "value" and node.get("type") in TEXTURES:  # a colour that stands for a volume
            node.clear()
            node.update(_colour(self.params[f"{owner}.value.value"]))
            return
        node[key] = _written(self.params[f"{owner}.{key}.value"])


def _written(value):
    """A constant as a key has it: a number, a colour, or six numbers."""
    if value.shape == (6,):
        return value.tolist()
    return _colour(value) if value.shape else float(value)


def _colour(value):
    return {"type": "rgb" if value.shape else "uniform", "value": value.tolist()}
