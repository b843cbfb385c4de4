"""The sweep of linear probes: what is planned, how a block of probes is run, the table of
results."""
