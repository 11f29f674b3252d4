"""Modules that only small models run: their autoencoder, keyframe UNet, learned compensation and residual form."""
