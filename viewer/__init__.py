"""Shapes → screen: a window, and pictures off-screen, with PyVista."""
