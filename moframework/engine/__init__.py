"""The engine: trains any weight space with any schedule and objective, evaluates fronts, saves and resumes.

It knows no solver and no problem by name: it is handed a `Method` (parts) and a `Problem` (contract). What must not
    live
here: printing, plotting, run directories, spec files. It reports through an `Observer`.
"""
