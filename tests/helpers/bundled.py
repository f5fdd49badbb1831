"""Which bundled scenes the tests go through number by number.

Not those of tests/recover/test_optimize_examples.py: they have thousands of texels, or a material whose
choice of lobes central differences cannot follow; tests/estimators has such things in small scenes.
"""

import prb

BENT = {"glass-ball", "rippled-glass", "rippled-mirror"}
MOVED = {"bear", "seated-bear", "shadow"}
RECOVERED = {"glazed-knot", "painted-plane", "silver-ball", "smoke"} | BENT | MOVED
SCENES = sorted(set(prb.bundled_scenes()) - RECOVERED)
