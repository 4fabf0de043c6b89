"""Drills: a fault is injected on purpose, and what clients saw is judged."""
