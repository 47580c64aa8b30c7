"""moframework: declarative Pareto front learning in PyTorch."""
