"""Tuning with Keras Tuner."""
