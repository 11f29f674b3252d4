"""The stages of training, one module each; all run in `videolavit.training.loop`."""
