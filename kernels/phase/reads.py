"""How a phase function reads its parameter: see the package."""

NOTHING, NUMBER, PAIR, TABLE = "nothing", "number", "pair", "table"
