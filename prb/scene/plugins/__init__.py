"""Mitsuba's plugins, a file for each kind.

Each plugin is a function that takes its `Reader` and returns a record of `prb.scene.model`, and a line in the
table of its kind; `registry` joins the tables.
"""
