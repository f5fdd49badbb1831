"""Triangle meshes from files.

Each format has a file with one function, bytes -> `RawMesh`; `mesh` takes a RawMesh to world space and has
what the formats share: checks, fans of polygons, smooth normals, and the error `MeshFileError`.
"""
