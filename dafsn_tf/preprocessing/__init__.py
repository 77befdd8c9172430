"""Front ends, in graph and the same for training, embedding and serving: texts to word ids, pictures to pixels."""
