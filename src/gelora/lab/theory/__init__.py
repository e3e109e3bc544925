"""The theorem behind the ranks, measured: Jacobian rank, Fisher rank, and the rank that is used."""
