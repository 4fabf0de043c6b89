"""Build the pages with which a procedure can be followed by hand."""
