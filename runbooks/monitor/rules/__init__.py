"""The alerts of the site as data, and decisions about them. Pure."""
