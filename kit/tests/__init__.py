"""Tests of the kit's own tools: `python -m unittest discover -t . kit/tests`."""
