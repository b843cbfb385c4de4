"""Tasks that are built from the documentation strings of installed packages. Their texts and labels
are real, and nothing is downloaded."""
