"""The calibrated rule: a linear score and the probability of relevance that it stands for."""
