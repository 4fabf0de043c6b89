"""Words for the remote side: builders of commands and parsers of their answers. Nothing here runs anything."""
