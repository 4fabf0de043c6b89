"""The cluster: prepared, built, grown, checked."""
