"""The pages of the lab: a comparison's, and the theory's section in the report of a run."""
