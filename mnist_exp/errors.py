"""The one exception that means "the user can mend this": entry points print its message without a traceback."""


class UserError(Exception):
    """Bad input, named together with the way out; entry points show it as one short message."""
