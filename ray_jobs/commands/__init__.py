"""One module for each command that is not a stage of a study."""
