"""Evaluation: the papers' test protocols, error rates, confusion and calibration."""
