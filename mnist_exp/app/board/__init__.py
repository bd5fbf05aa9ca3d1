"""The board: what is kept of the runs below a folder, the table of them, its page, its server."""
