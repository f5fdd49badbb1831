"""One step of a path as a traced function, through which its derivatives are attached to what it samples."""
