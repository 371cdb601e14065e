"""Small tools that the notebooks of *Large Models in Practice* share.

Nothing here is the subject of a chapter: what a chapter teaches is written out in its cells. The package
imports quickly and never imports TensorFlow by itself; :func:`helpers.session.load_keras` does, on request.

============  =====================================================================
module        what it holds
============  =====================================================================
areas         texts from docstrings, to be told apart by area
augment       random affine changes of pictures, composed into one warp
batches       mini-batches that a resumed training sees again
cartoon       draws a cat or a dog from known factors
claims        assert a statement and record it, so that the book can list it
cluster       worker processes: started, listened to, never left behind
continual     accuracy matrix, reservoir, detectors of change
corpus        docstrings of the standard library as a text: cleaned, split by file
datasets      one loader per data set: resolved, verified, with its licence
diagrams      boxes and labelled arrows; refuses a graph that could not be read
download      fetches photographs, on request only
evaluation    the test set that opens once; intervals and spreads
figure_data   the numbers behind a figure, as tables
figures       one style for every figure; alt text that states the finding
folders       folders of images: read in order, refused with one sentence
generation    text from the small GPT, with a key-value cache
inputs        labels and scores that make sense; others are refused
language      characters as numbers, mini-batches of text, a small GPT in Keras
metrics       McNemar, bootstrap, calibration, threshold by cost
minilm        a published text encoder in plain Keras layers
picture_files the same as folders of JPEG files
pictures      drawn pictures of cats and dogs: their factors, sampled
preflight     what would spoil a training on folders of images
privacy       Laplace and Gaussian noise; the accountant of private training
scheduler     which job gets which devices, and when: a simulation
serving       the service of chapter 11: models behind HTTP (a package of its own)
session       profile, seed, device; a quiet import of Keras
workers       programs of chapter 9 that run in other processes
============  =====================================================================
"""

__version__ = "0.1.0"
