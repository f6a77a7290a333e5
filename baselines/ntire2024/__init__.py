"""The NTIRE 2024 efficient SR entries of Table 6."""
