#!/usr/bin/env bash
# transformers' RWKV: what is saved after an evaluation is another model.
# Installs a CUDA build of torch: several GB and some minutes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir numpy==2.4.6 torch==2.14.1 transformers==5.24.0
"$work/venv/bin/python" - "$work" 2>"$work/progress" <<'PY'
import sys
from importlib.metadata import version

import torch
from transformers import RwkvConfig, RwkvModel

print("versions:", *(f"{name} {version(name)}" for name in ("torch", "transformers")))
print("guess: calling a model in eval mode leaves its weights alone, so that save_pretrained writes the same before and after, and both load as the model.")
torch.manual_seed(0)
config = RwkvConfig(vocab_size=50, hidden_size=16, num_hidden_layers=4, rescale_every=2, intermediate_size=32, context_length=16)
model, x = RwkvModel(config).eval(), torch.randint(0, 50, (2, 6))


def saved(name):
    model.save_pretrained(f"{sys.argv[1]}/{name}")


@torch.no_grad()
def answer(network):
    return network.eval()(x, use_cache=False).last_hidden_state


def off(name):
    return float((answer(RwkvModel.from_pretrained(f"{sys.argv[1]}/{name}")) - first).abs().max())


saved("before")
own = {name: value.clone() for name, value in model.state_dict().items()}
first = answer(model)
saved("after")
changed = [name for name, value in model.state_dict().items() if not torch.equal(value, own[name])]
print(f"seen: one call in eval mode changes {len(changed)} weights in place: {', '.join(changed[:2])}, …")
print(f"seen: saved before it and loaded, the answer is off by {off('before'):.3g}; saved after it, by {off('after'):.3g}, of numbers up to {float(first.abs().max()):.3g}")
model.train()
saved("trained")
print(f"seen: after model.train() alone, by {off('trained'):.3g}: the weights go back in the next call, not in train()")
print("why it matters: weights of later blocks are divided by powers of two (rescale_every) when the model is first used, and by them once more when "
      "what was saved then is loaded. A loop that evaluates, then saves, writes a model that nobody trained. rescale_every=0 avoids it.")
print("source: https://github.com/huggingface/transformers/pull/22797")
sys.exit(not (len(changed) > 0 and off("before") < 1e-6 < 0.1 < off("after") and off("trained") > 0.1))
PY
