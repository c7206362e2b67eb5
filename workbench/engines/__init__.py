"""Two engines that do not know each other, behind contracts.py."""
