"""The tools of the operator's kit: they write, check, run and draw what stands in `alerts/`, `dashboards/`,
`deploy/` and `load-tests/`."""
