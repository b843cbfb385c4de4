"""Tasks, encoders, embedding cache, subsets, solvers, features, the results table. No Ray."""
