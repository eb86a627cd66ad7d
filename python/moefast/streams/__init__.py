"""Fits on rows that no memory holds: what is added up over the parts of a data set, and the optimum of that."""
