"""The kit for pages to follow by hand."""
