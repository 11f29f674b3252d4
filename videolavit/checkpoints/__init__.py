"""Weights to and from files; the only place that knows foreign key names."""
