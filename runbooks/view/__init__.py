"""What can be seen of the site from whichever host answers."""
