"""One module a stage of a study."""
