"""From text and dictionaries to checked values.

What the files share is the one-line `SceneError` that begins with the place (`values.fail`). `reader` gives
plugins typed access to their dictionary, `transforms` and `texts` understand single values, and `xml` with
`xml_values` makes a dictionary of Mitsuba's XML.
"""
