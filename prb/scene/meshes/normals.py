"""Derivatives of the vertex normals that are computed from the positions (`mesh.smooth_normals`).

    N_v = S_v / |S_v|,        S_v = sum over the faces around v of  angle_f(v) m_f / |m_f|,   m_f = e1 x e2

A face without area does not count, as in the normals themselves.
"""

from typing import NamedTuple

import numpy as np


class _Faces(NamedTuple):
    """What both directions need. a, b: (3, m, 3), the edges from each corner to the next and the previous
    one. normal: (m, 3), unit. area2: (m,), its length before that. angle, sin: (3, m). total: (n, 3), S."""

    faces: np.ndarray
    a: np.ndarray
    b: np.ndarray
    normal: np.ndarray
    area2: np.ndarray
    angle: np.ndarray
    sin: np.ndarray
    total: np.ndarray


def pull_back(vertices, faces, grad_normals):
    """The cotangents of the positions, (n, 3) float64, from those of the normals."""
    f = _faces(vertices, faces)
    grad_total = _projected(f.total, grad_normals)
    grad = np.zeros((len(vertices), 3))
    of_corner = grad_total[f.faces].transpose(1, 0, 2)  # (3, m, 3)
    grad_normal = np.einsum("cm,cmi->mi", f.angle, of_corner)
    grad_angle = np.einsum("cmi,mi->cm", of_corner, f.normal)
    grad_m = (grad_normal - f.normal * _dot(f.normal, grad_normal)[:, None]) / f.area2[:, None]
    first, second = np.cross(f.b[0], grad_m), np.cross(grad_m, f.a[0])
    parts = [-first - second, first, second]
    by_a, by_b = _angle_slopes(f)
    for corner in range(3):
        along_a, along_b = (slope[corner] * grad_angle[corner, :, None] for slope in (by_a, by_b))
        parts[(corner + 1) % 3] = parts[(corner + 1) % 3] + along_a
        parts[corner - 1] = parts[corner - 1] + along_b
        parts[corner] = parts[corner] - along_a - along_b
    for corner in range(3):
        for axis in range(3):
            grad[:, axis] += np.bincount(f.faces[:, corner], parts[corner][:, axis], len(grad))
    return grad


def push_forward(vertices, faces, tangents):
    """The tangents of the normals, (n, 3) float64, from those of the positions."""
    f = _faces(vertices, faces)
    d = np.asarray(tangents, float)[f.faces].transpose(1, 0, 2)
    da = np.stack([d[(corner + 1) % 3] - d[corner] for corner in range(3)])
    db = np.stack([d[corner - 1] - d[corner] for corner in range(3)])
    dm = np.cross(da[0], f.b[0]) + np.cross(f.a[0], db[0])
    dnormal = (dm - f.normal * _dot(f.normal, dm)[:, None]) / f.area2[:, None]
    by_a, by_b = _angle_slopes(f)
    dangle = _dot(by_a, da) + _dot(by_b, db)
    dtotal = np.zeros((len(vertices), 3))
    for corner in range(3):
        part = dangle[corner][:, None] * f.normal + f.angle[corner][:, None] * dnormal
        for axis in range(3):
            dtotal[:, axis] += np.bincount(f.faces[:, corner], part[:, axis], len(dtotal))
    return _projected(f.total, dtotal)


def _faces(vertices, faces):
    p = np.asarray(vertices, float)[faces].transpose(1, 0, 2)
    m = np.cross(p[1] - p[0], p[2] - p[0])
    area2 = np.linalg.norm(m, axis=1)
    solid = area2 > 0
    faces, p, area2 = faces[solid], p[:, solid], area2[solid]
    normal = m[solid] / area2[:, None]
    a, b = np.roll(p, -1, axis=0) - p, np.roll(p, 1, axis=0) - p
    scale = np.linalg.norm(a, axis=2) * np.linalg.norm(b, axis=2)
    cos, sin = np.clip(_dot(a, b) / scale, -1, 1), np.linalg.norm(np.cross(a, b), axis=2) / scale
    angle = np.arctan2(sin, cos)
    total = np.zeros((len(vertices), 3))
    for corner in range(3):
        for axis in range(3):
            weighted = angle[corner] * normal[:, axis]
            total[:, axis] += np.bincount(faces[:, corner], weighted, len(total))
    return _Faces(faces, a, b, normal, area2, angle, sin, total)


def _angle_slopes(f):
    """The derivatives of each corner's angle by its edges a and b, (3, m, 3) each."""
    sin = np.maximum(f.sin, 1e-12)
    cos = np.cos(f.angle)
    a, b = (np.linalg.norm(x, axis=2) for x in (f.a, f.b))
    by_a = (cos / a**2)[..., None] * f.a - f.b / (a * b)[..., None]
    by_b = (cos / b**2)[..., None] * f.b - f.a / (a * b)[..., None]
    return by_a / sin[..., None], by_b / sin[..., None]


def _projected(total, x):
    """The derivative of total / |total| along x, or its transpose, which is the same; 0 where it is not
    defined."""
    size = np.linalg.norm(total, axis=1, keepdims=True)
    defined = size > 1e-9
    unit = total / np.where(defined, size, 1)
    x = np.asarray(x, float)
    return np.where(defined, (x - unit * _dot(unit, x)[:, None]) / np.where(defined, size, 1), 0)


def _dot(a, b):
    return np.einsum("...i,...i->...", a, b)
