"""The six answers for one sample: one file or more a question, in the order of the questions."""
