"""`inv site.pages`: which pages there are, the files that they refer to, and how both are written."""
