"""Instruction tuning: chats and prompts as tokens, perplexity, answers to MT-Bench."""
