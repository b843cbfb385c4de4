"""One module a command that is no stage of a study."""
