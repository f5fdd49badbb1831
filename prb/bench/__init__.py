"""`prb bench`: time and memory of a gradient, point by point, each in a process of its own."""
