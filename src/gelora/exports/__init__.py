"""An adapter, or a plan, in the form that other programs read: without a change of function."""
