"""What the user gives: rows, read and cleaned, and their vectors in some embedding spaces."""
