"""The two kinds of error that every package tells apart. Imported from `cluster.storage`."""


class UserError(Exception):
    """A mistake that the user can mend: one line with what is wrong, where, and the remedy. The CLI
    exits with code 2."""


class CorruptArtefactError(Exception):
    """A stored artefact does not match its checksum or cannot be parsed. It is safe to delete and
    make again."""
