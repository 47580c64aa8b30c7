"""The census: networks of timm, torchvision and transformers, each trained by a step of ours and by plain torch.

`python -m tests.census` compares all of them, which takes a while; `test_census.py` a few. What is found is kept in
`docs/census/`, the page `docs/census.md` is made from it.
"""
