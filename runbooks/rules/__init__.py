"""Pure decisions: values in, values out, no host is touched."""
