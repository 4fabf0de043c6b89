"""Figures and verdicts of a measurement. Pure: the time is an argument."""
