"""Extractive question answering: windows of a context, answers from scores, official scoring."""
