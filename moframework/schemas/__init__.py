"""JSON Schemas of the files that runs and benchmarks leave: one file each, beside this one, named for what it is about.

They say what is written, key by key, with units and ranges, for readers in any language. The schema of specs does not
live here, since it depends on what is installed (`spec.spec_schema`); nor does any code that writes or reads results:
a schema that is derived from the writer would agree with it by construction.
"""

from moframework.schemas.results import RESULT_FILES, result_schema

__all__ = ["RESULT_FILES", "result_schema"]
