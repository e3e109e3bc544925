"""A model as measuring sees it: where its blocks are, and their pooled states in one pass."""
