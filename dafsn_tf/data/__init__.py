"""Collections on disk: readers, records, the feature cache and `tf.data`."""
