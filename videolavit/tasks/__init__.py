"""One module per thing that a model does with its parts; `videolavit.pipeline` is their common face."""
