"""Grading: whether a plan tells a good device from a bad one, and which expectation does."""
