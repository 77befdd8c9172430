"""A development server of TensorFlow Serving's protocol, for machines without a `tensorflow_model_server`."""
