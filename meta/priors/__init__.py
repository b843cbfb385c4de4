"""What is known before anything is tried: of encoders (published results) and of embedding spaces
(the study's tasks)."""
