"""Tasks built on the spot from the documentation strings of the installed packages: real text, real
labels, no download."""
