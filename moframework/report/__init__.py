"""Finished runs as a page to look at and as figures for papers: read here, and never trained."""

from moframework.report.page import page, write_page

__all__ = ["page", "write_page"]
