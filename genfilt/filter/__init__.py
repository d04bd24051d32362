"""Step 4: candidates and corrections under the paper's rule or the calibrated rule."""
