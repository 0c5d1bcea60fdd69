"""Feature state of a stream: values kept by key, and the feature vector of a request."""
