"""Sphinx: the pages of this folder, and the public API from its docstrings."""

project = "voxgan"
author = "The voxgan authors"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "myst_parser"]
autosummary_generate = True
html_theme = "furo"
exclude_patterns = ["_build"]
