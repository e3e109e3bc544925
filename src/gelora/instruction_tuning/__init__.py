"""Instruction tuning of causal models: conversations as tokens, perplexity, answers to judge."""
