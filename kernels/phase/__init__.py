"""Phase functions, by plugin name. A new one takes its file and its line here."""

REGISTRY = {"hg": None, "isotropic": None, "rayleigh": None, "sggx": None, "tabphase": None}
KINDS = {name: number for number, name in enumerate(REGISTRY)}
