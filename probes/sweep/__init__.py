"""Linear probes by the thousand: what is planned, what a block runs, the table of results."""
