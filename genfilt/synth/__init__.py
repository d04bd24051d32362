"""A generated catalogue of any size, and the truth about it."""

from genfilt.synth.catalogue import SynthSummary, synthesize

__all__ = ["SynthSummary", "synthesize"]
