"""Files of images and videos, read and written."""
