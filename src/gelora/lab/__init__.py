"""A research bench on top of the library: rivals, their comparison, the theory, and their pages.

It imports the library; the library never imports it.
"""
