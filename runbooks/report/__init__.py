"""A report as one HTML file: facts, a picture of what happened when, tables and texts."""
