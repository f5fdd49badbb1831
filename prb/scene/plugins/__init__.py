"""One file for each kind of plugin, and the registry of all."""
