"""One thin module per job that wires the domain to the cluster, and the command line."""
