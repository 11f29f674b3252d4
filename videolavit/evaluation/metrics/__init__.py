"""Measures of answers, images and videos, each as its benchmark's authors compute it."""
