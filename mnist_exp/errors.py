"""Exceptions that are answers rather than defects."""


class UserError(Exception):
    """Bad input, named together with the way out; entry points show it as one short message."""
