"""What there is, told from the code: every public name, part, key, command, error and file of results, as Markdown.

The site has it as pages, `moframework docs` shows one of them, `moframework list` the options of a part. Nothing here
is written by hand but headings; what is to be said stands in docstrings and in the help of options.
"""
