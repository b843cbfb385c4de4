"""Tasks, encoders, the embedding cache, subsets, solvers, features, and the table of results.
Nothing here uses Ray."""
