"""Files: pictures in and out, atomic writes, the progress bar."""
