"""The demo's page: a canvas, what runs read in it, and why.

Only `page` and `server` know Gradio. HTML, styles and scripts are files in `templates`.
"""
