"""The engine: trains any weight space with any schedule and objective, evaluates fronts, saves and resumes.

The plain path of a training step: `loop`, `step` and `hooks` (with `model.functional` and the weight space's own file).
`acceleration` has what makes a step faster, `distributed` what several processes need.

It knows no solver and no problem by name: it is handed a `Job` of a `Method` (parts) and a `Problem` (contract), and
reports through an `Observer`. What must not live here: printing, plotting, run directories, spec files.
"""
