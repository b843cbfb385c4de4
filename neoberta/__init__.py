"""NeoBERTa, the encoder: tokenizer, corpus, model, objectives, learning, export. No Ray, no
probes."""
