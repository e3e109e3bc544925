"""Prompts with completions as tokens, how well a model predicts them, and answers to MT-Bench."""
