"""Train the PHATGOOSE gates of a LoRA for T5, so that gander can route to it."""
