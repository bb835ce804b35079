"""Metrics, one a file; they know no model."""
