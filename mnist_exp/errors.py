"""The one exception that means "the user can mend this": entry points print its message without a traceback."""


class UserError(Exception):
    """Bad input, named together with the way out; raised anywhere below, shown by the entry points as one short message."""
