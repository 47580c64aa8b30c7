"""Finished runs as a page to look at and as figures for papers: read here, and never trained.

`page` has no need of matplotlib, and `figures` none of the page, so neither is imported here.
"""
