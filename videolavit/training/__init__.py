"""Training: one loop, and a module for each stage (paper, section 3.3 and appendix)."""
