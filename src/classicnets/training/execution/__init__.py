"""How a step runs: precision, memory layout, CUDA graphs, processes, gradient accumulation."""
