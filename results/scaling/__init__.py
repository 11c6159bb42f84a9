"""Scaling laws: how alignment rises with compute, parameters and data, and what that predicts."""
