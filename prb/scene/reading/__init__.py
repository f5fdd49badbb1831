"""Scene files to checked values: dictionaries, XML, transforms."""
