"""How well a model does, measured."""
