"""Files and the terminal: pictures in and out, atomic writes, the progress bar. None of it knows a scene."""
