"""What is known before anything is tried: the prior of encoders comes from published results, the
prior of embedding spaces from the tasks of a study."""
