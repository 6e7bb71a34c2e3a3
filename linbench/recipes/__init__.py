"""Recipes: frozen descriptions of training runs that cannot name a backbone."""
