"""The experiment on what corrections bring: arms with other corrections, measured on the truth."""
