"""The K-NN classifier itself: the metric, the training set as search sees it, and the one tie rule."""
