"""Meshes, volumes and photos → a data set: sources, voxelisation, rendered views."""
