"""The two kinds of error that every package tells apart. Import them from `cluster.storage`."""


class UserError(Exception):
    """A mistake that the user can correct. The message is one line: what is wrong, where, and the
    remedy. The command line exits with code 2."""


class CorruptArtefactError(Exception):
    """A stored artefact does not match its checksum, or cannot be parsed. It is safe to delete it
    and make it again."""
