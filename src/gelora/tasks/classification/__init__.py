"""Texts, or pairs of texts, with a class or a number each."""
