#!/usr/bin/env bash
# scipy.sparse.csgraph takes weights up to 1e-8 of a dense array for no edge: the spanning tree of close points is empty.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree, shortest_path
from scipy.spatial.distance import cdist

print("versions:", *(f"{name} {version(name)}" for name in ("scipy", "numpy")))
print("guess: of a dense matrix of distances only an exact 0 is no edge, as the documentation of csgraph says, so a tree of n distinct points has n - 1 edges at any scale.")
points = np.array([[0.0, 3.0], [1.0, 2.0], [3.0, 0.0]])
edges = {}
for scale in (1.0, 1e-7, 2e-9, 1e-12):
    distances = cdist(scale * points, scale * points)
    dense, sparse = (minimum_spanning_tree(form(distances)).nnz for form in (np.asarray, csr_array))
    parts = connected_components(distances, directed=False)[0]
    edges[scale] = dense, sparse, parts
    print(f"seen: distances from {distances[0, 1]:.2g} to {distances[0, 2]:.2g}: {dense} edges from a dense array, "
          f"{sparse} from a sparse one, {parts} component(s) of the dense one")
mixed = np.array([[0.0, 1e-9, 0.0], [1e-9, 0.0, 1.0], [0.0, 1.0, 0.0]])
far = shortest_path(mixed)[0, 2], shortest_path(csr_array(mixed))[0, 2]
print(f"seen: the way from 0 to 2 over an edge of 1e-9 and one of 1: {far[0]} dense, {far[1]} sparse")
print("why it matters: fronts whose losses are small, or have points that nearly coincide, fall apart without a word: no largest gap, unreachable points. Pass scipy.sparse.csr_array(distances).")
print("source: https://docs.scipy.org/doc/scipy/reference/sparse.csgraph.html, which says that non-edges of dense arrays are zeros, infinities or NaN")
sys.exit(not (edges[1.0] == edges[1e-7] == (2, 2, 1) and edges[2e-9] == edges[1e-12] == (0, 2, 3) and far[0] == np.inf and abs(far[1] - 1) < 1e-6))
PY
