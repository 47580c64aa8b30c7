"""What a saved model needs to answer raw data: how it becomes inputs, and what outputs mean, kept as plain data.

A `Reader` makes tensors of a table or of images exactly as in training; an `Answer` says what a task's output stands
for: a class by its name, a number in its own unit. Both are saved with the model and rebuilt by registered classes.
What must not live here: problems, and networks.
"""

from moframework.predicting.answers import Answer
from moframework.predicting.predictions import Predictions
from moframework.predicting.preparation import Preparation
from moframework.predicting.reader import Part, Reader, Reading, Unseen

__all__ = ["Answer", "Part", "Predictions", "Preparation", "Reader", "Reading", "Unseen"]
