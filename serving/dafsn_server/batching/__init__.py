"""Rows of several requests in one run of the graph, by TensorFlow Serving's rules."""
