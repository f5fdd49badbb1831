"""A scene on the device: its arrays, their layout, and the parameters that change them."""
