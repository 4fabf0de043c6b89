"""`inv doctor`: find what is wrong on the whole site, and name the command that repairs it."""
