"""The ocean: a small T5, LoRA experts that each clean one kind of field, and their PHATGOOSE gates."""
import os

# Before torch is loaded: one thread per process, for the work is split over processes; room for all compiled kernels, or half the time goes into compiling them again.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
