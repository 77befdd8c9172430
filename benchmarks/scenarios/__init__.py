"""What benchmarks/serving.py measures, a file for each group."""
