"""A window to walk the latent space in: the shape, sliders, anchors, keys (`voxgan view`)."""

from viewer.desktop.window import Desktop, view

__all__ = ["Desktop", "view"]
