"""Which bundled scenes the tests go through number by number.

Not those of tests/test_optimize_examples.py: they have thousands of texels, or a material whose choice of
lobes central differences cannot follow; tests/test_adjoints_materials.py has such things in small scenes.
"""

import prb

RECOVERED = {"glazed-knot", "painted-plane", "silver-ball", "smoke"}
SCENES = sorted(set(prb.bundled_scenes()) - RECOVERED)
