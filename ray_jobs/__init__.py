"""The command line, and one thin module for each job. A job runs the domain's code on a cluster."""
