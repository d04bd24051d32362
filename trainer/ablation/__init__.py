"""The paper's tables and figures on one's own data: runs, comparisons and one report."""
