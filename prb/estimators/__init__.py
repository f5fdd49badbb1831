"""How pictures and gradients are estimated: the adjoint methods, and what they share."""
