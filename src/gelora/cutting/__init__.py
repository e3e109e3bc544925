"""From a trained adapter to the ranks that its training used."""
