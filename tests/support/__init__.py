"""What tests of several directories share."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
