"""Point sets in place of independent random numbers: variants, one file each.

Each file has one function,

    points(sampler, a, b, c, d)     four numbers in [0, 1) of the sample `sampler.sample` of `sampler.count`;
                                    a, b, c, d: keys, 32-bit numbers, for each block of each path another four

whose first two numbers are distributed best, then all four. Points of different blocks know nothing of each
other (padding: Kollig and Keller 2002).
"""

from prb.kernels.points import multijitter, orthogonal, sobol, stratified

INDEPENDENT = "independent"
POINTS = {"multijitter": multijitter, "orthogonal": orthogonal, "sobol": sobol, "stratified": stratified}
NAMES = (INDEPENDENT, *sorted(POINTS))
