"""Tranche vaults: several claims of different seniority on one portfolio."""
