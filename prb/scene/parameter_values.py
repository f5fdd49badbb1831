"""The values of a scene file's parameters, replaced by others: what `prb optimize` writes as a scene."""

import copy

from prb.scene.load import named_nodes
from prb.scene.plugins.textures import TEXTURES

_OF_MESHES = ("vertex_", "face_")


def with_values(data, names, params, write_bitmap):
    """A copy of a scene's dictionary with the values of the named parameters, and the names left out.

    params: name -> array, all parameters of the scene. Attributes and normals of a mesh are left out, since
        they stand in the mesh's own file. write_bitmap: a function (name, texels) -> the name of a file.
    """
    data = copy.deepcopy(data)
    nodes = named_nodes(data)
    left_out = [name for name in names if not _placed(nodes, name, params, write_bitmap)]
    return data, left_out


def _placed(nodes, name, params, write_bitmap):
    """Write one value to its place in the scene's dictionary; False if there is no such place."""
    value = params[name]
    owner, _, key = name.rpartition(".")
    if key.startswith(_OF_MESHES) or "." not in name:
        return False
    node = nodes.get(owner)
    if key == "data" and node is not None:
        for other in ("bitmap", "data"):
            node.pop(other, None)
        node["filename"] = write_bitmap(name, value)
    elif key == "value" and node is not None and node.get("type") == "rawconstant":
        node["value"] = value.tolist()
    elif key == "value" and node is not None and node.get("type") in TEXTURES:
        kept = {"id": node["id"]} if "id" in node else {}
        node.clear()
        node.update(**kept, **_colour(value))
    elif key == "value":
        owner, _, key = owner.rpartition(".")
        if owner not in nodes:
            return False
        _set_colour(nodes[owner], owner, key, params)
    elif node is None:
        return False
    else:
        node[key] = value.tolist()
        if key == "direction":
            node.pop("to_world", None)
    return True


def _set_colour(node, owner, key, params):
    if key in ("eta", "k") and "material" in node:  # a preset stands for both
        del node["material"]
        for each in ("eta", "k"):
            node[each] = _colour(params[f"{owner}.{each}.value"])
    value = params[f"{owner}.{key}.value"]
    node[key] = _colour(value) if value.shape else float(value)


def _colour(value):
    return {"type": "rgb" if value.shape else "uniform", "value": value.tolist()}
