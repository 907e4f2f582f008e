"""Forecasts: will a KPI go beyond its bound, and when. What can't be known is said to be unknowable."""
