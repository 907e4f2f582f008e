"""Service level metrics as MEF 10.4 defines them, over whole periods: exact where a window's KPI is a running view."""
