"""The processes that train one run together: how they are launched, what they tell each other, and how they agree.

What must not live here: anything that knows what they compute (`engine.distributed`).
"""
