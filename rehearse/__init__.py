"""A procedure carried out on a twin of the site first: `inv rehearse`. The only package that knows both the lab and the runbooks."""
