"""The six answers for one sample. A file that belongs to a question begins with its number, `q1_`
to `q6_`."""
