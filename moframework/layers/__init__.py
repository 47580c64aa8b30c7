"""How a layer uses θ(λ): merged cheaply, or not merged at all (tensors without memory, which layers' functions ask).

What must not live here: where weights come from (`weights`), or when a training step takes which way
(`engine.acceleration`).
"""
