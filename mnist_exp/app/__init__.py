"""The demo's page: a canvas, what runs read in it, and why.

Only `page` and `canvas` know Gradio.
"""
