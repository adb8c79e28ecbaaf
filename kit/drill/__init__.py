"""Fire drills: the real service, Prometheus, Alertmanager and load, one fault at a time, and who is told of it."""
