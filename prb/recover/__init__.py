"""Parameters from pictures: the optimisation loop, its optimisers, and the files of a run."""
