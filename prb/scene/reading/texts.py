"""Numbers, colours and spectra that a scene file writes as text."""

import re

import numpy as np

_MAX_ENTRIES = 100_000  # of a spectrum


def parse_numbers(text: str) -> list[float] | None:
    """The numbers of a text, separated by commas or white space; None where it holds anything else."""
    try:
        return [_number(word) for word in re.split(r"\s*,\s*|\s+", text.strip().rstrip(",").rstrip())]
    except ValueError:
        return None


def _number(word: str) -> float:
    if "_" in word:  # Python's float takes 1_000
        raise ValueError(word)
    return float(word)


def parse_rgb(text: str) -> list[float] | None:
    """Linear RGB from a text: one or three numbers, or #rrggbb, which is sRGB with 8 bits as on the web."""
    match = re.fullmatch(r"\s*#([0-9a-fA-F]{6})\s*", text)
    if match:
        return [_linear(int(match[1][i : i + 2], 16) / 255) for i in (0, 2, 4)]
    found = parse_numbers(text)
    if found is None or len(found) not in (1, 3):
        return None
    return found * 3 if len(found) == 1 else found


def _linear(encoded: float) -> float:
    """sRGB's transfer function (IEC 61966-2-1)."""
    return encoded / 12.92 if encoded <= 0.04045 else ((encoded + 0.055) / 1.055) ** 2.4


def parse_pairs(text: str) -> list[list[float]] | None:
    """[[wavelength, value], ...] from "400:0.1, 500:0.2"; None where the text is something else."""
    words = [part.split(":") for part in re.split(r"[\s,]+", text.strip().strip(",").strip())]
    try:
        return [[_number(w), _number(v)] for w, v in words]
    except ValueError:
        return None


def check_pairs(pairs: np.ndarray) -> str | None:
    """What is wrong with wavelengths and values (n, 2), or None."""
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) < 2:
        return "a spectrum needs at least two wavelength:value pairs; for a constant give one number"
    if len(pairs) > _MAX_ENTRIES:
        return f"a spectrum of {len(pairs)} entries; at most {_MAX_ENTRIES} are read"
    if not np.isfinite(pairs).all():
        return "a wavelength or a value is not finite"
    steps = np.diff(pairs[:, 0])
    if (steps <= 0).any():
        i = int(np.argmax(steps <= 0))
        return f"wavelengths must increase, but {pairs[i + 1, 0]:g} nm follows {pairs[i, 0]:g} nm"
    return None
