"""The input of `characterize`: the user's rows, read and cleaned, and their vectors in the
embedding spaces."""
