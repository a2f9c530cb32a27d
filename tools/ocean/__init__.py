"""The pilot ocean: a small T5, LoRA experts that each clean one kind of field, and their PHATGOOSE gates."""
